"""The language server in a real editor: headless Neovim with its built-in client."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pygls", reason="needs the extra `lsp`")
pytestmark = pytest.mark.skipif(shutil.which("nvim") is None, reason="needs Neovim (`apt-get install neovim`)")

ROOT = Path(__file__).parents[2]

# Opens the file, waits for findings, adds a line without saving, waits for them again; prints both lists as JSON.
SCRIPT = """
local command = vim.json.decode(os.getenv("SERVER"))
local client = vim.lsp.start_client({ name = "mllint-bio", cmd = command, root_dir = vim.fn.getcwd() })
vim.cmd("edit train.py")
vim.lsp.buf_attach_client(0, client)

local function diagnostics(line)
  vim.wait(60000, function()
    local found = vim.diagnostic.get(0)
    return #found > 0 and (line == nil or found[1].lnum == line)
  end, 50)
  return vim.diagnostic.get(0)
end

local first = diagnostics()
vim.api.nvim_buf_set_lines(0, 0, 0, false, { "# one more line" })
local second = diagnostics(first[1].lnum + 1)
local out = io.open("found.json", "w")
out:write(vim.json.encode({ first, second }))
out:close()
vim.cmd("qall!")
"""

PROGRAM = """\
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

table = pd.read_csv("metabolites.csv")
y = table.pop("sepsis")
"🧬"; X = StandardScaler().fit_transform(table)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = LogisticRegression().fit(X_train, y_train)
print(roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]))
"""


def findings(folder: Path) -> list[list[dict[str, Any]]]:
    """What Neovim shows for the program before and after the edit."""
    (folder / "train.py").write_text(PROGRAM, encoding="utf-8")
    (folder / "script.lua").write_text(SCRIPT)
    environment = {**os.environ, "SERVER": json.dumps([sys.executable, "-m", "mllint_bio", "server"]), "PYTHONPATH": str(ROOT)}
    environment |= {f"XDG_{kind}_HOME": str(folder / "home") for kind in ("CONFIG", "DATA", "STATE", "CACHE")}
    command = ["nvim", "--headless", "--clean", "-n", "-c", "luafile script.lua"]
    ended = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=180, check=False)
    assert (folder / "found.json").exists(), ended.stdout + ended.stderr
    both: list[list[dict[str, Any]]] = json.loads((folder / "found.json").read_text(encoding="utf-8"))
    return both


def test_neovim_shows_the_finding_and_follows_unsaved_text(tmp_path: Path) -> None:
    """Neovim places the finding by its bytes behind an emoji, knows code, page and evidence, and sees it move while typing."""
    first, second = findings(tmp_path)
    ((before,), (after,)) = (first, second)
    start = len('"🧬"; X = '.encode())
    assert (before["lnum"], before["col"], before["end_col"]) == (8, start, start + len("StandardScaler().fit_transform(table)"))
    assert before["source"] == "mllint-bio" and "StandardScaler" in before["message"] and "\nRemedy: " in before["message"]
    received = before["user_data"]["lsp"]
    assert received["code"].startswith("MLB706") and "mlb706" in received["codeDescription"]["href"]
    assert {info["message"] for info in received["relatedInformation"]} >= {"split here", "scored here"}
    assert after["lnum"] == 9
