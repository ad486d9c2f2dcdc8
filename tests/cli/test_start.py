"""Starting up is cheap, and the commands that explain work."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mllint_bio.rule import load_registry, load_rule

HEAVY = (
    "libcst",
    "astroid",
    "rich",
    "pygls",
    "lsprotocol",
    "mllint_bio_rules",
    "mllint_bio.predict",
    "mllint_bio.rule",
    "nbformat",
    "asyncio",
)


def imported_by(*arguments: str, cwd: Path | None = None) -> set[str]:
    """Which heavy modules a command imports, in a process of its own."""
    code = f"""
import sys
from mllint_bio.cli import main
try:
    main({list(arguments)!r})
except SystemExit:
    pass
sys.stderr.write("\\nMODULES " + " ".join(m for m in {HEAVY!r} if m in sys.modules))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=cwd)
    return set(result.stderr.rsplit("MODULES ", 1)[1].split())


@pytest.mark.parametrize("arguments", [["--version"], ["--help"], ["check", "--help"], ["config"]])
def test_cheap_commands_import_nothing_heavy(arguments: list[str]) -> None:
    """Asking for the version, help or settings imports neither the interpreter nor rules nor rich nor the server."""
    assert imported_by(*arguments) == set()


def test_rule_pages_import_rules_only() -> None:
    """Showing a rule's page imports the rules, which do not import LibCST."""
    assert imported_by("rule", "MLB706") <= {"mllint_bio_rules", "mllint_bio.rule"}


@pytest.mark.parametrize("wanted", ["MLB706", "mlb706[variant]", "transform-fitted-before-split"])
def test_one_rule_page_imports_one_rule(wanted: str) -> None:
    """Of all rules, only the one whose page is shown is imported, however it is named."""
    code = f"""
import sys
from mllint_bio.rule import Rule, load_rule
found, origin = load_rule({wanted!r})
print(found.code, origin, *(rule.code for rule in Rule.__subclasses__()))
"""
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["MLB706", "mllint-bio", "MLB706"]


def test_every_rule_is_found_without_the_others() -> None:
    """Each registered rule is found by its code and by its name from its source, and is the registered one."""
    for rule in load_registry():
        for wanted in (rule.code, rule.name):
            found = load_rule(wanted)
            assert found is not None and type(found[0]) is type(rule)
    assert load_rule("MLB999") is None


def mllint_bio(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the installed command."""
    return subprocess.run([sys.executable, "-m", "mllint_bio", *arguments], capture_output=True, text=True, check=False)


def test_rule_page_by_code_and_name() -> None:
    """A rule's page is found by code in any case and by name, and names its sections."""
    by_code, by_name = mllint_bio("rule", "mlb706"), mllint_bio("rule", "transform-fitted-before-split")
    assert by_code.returncode == 0 and by_code.stdout == by_name.stdout
    assert by_code.stdout.startswith("MLB706 transform-fitted-before-split")
    assert "\nWhy it is bad\n" in by_code.stdout


def test_rule_page_as_json() -> None:
    """The JSON page holds code, name, tip and the address of the documentation."""
    page = json.loads(mllint_bio("rule", "MLB706", "--output-format", "json").stdout)
    assert (page["code"], page["tip"], page["origin"]) == ("MLB706", 7, "mllint-bio")
    assert page["url"].startswith("https://")


def test_engine_codes_have_pages() -> None:
    """The engine's own diagnostics are documented like rules."""
    assert "hides nothing" in mllint_bio("rule", "MLX001").stdout
    assert "internal-error" in mllint_bio("rule", "internal-error").stdout


def test_unknown_rule_names_the_nearest() -> None:
    """A misspelt rule is one line with the nearest right one, status 2."""
    result = mllint_bio("rule", "transform-fited-before-split")
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "transform-fitted-before-split?" in result.stderr


def test_rules_by_tip() -> None:
    """All rules are listed under their tips, and counted."""
    listed = mllint_bio("rules").stdout
    as_json = json.loads(mllint_bio("rules", "--output-format", "json").stdout)
    assert "Tip 7. Address overfitting" in listed
    assert f"{len(as_json)} rules." in listed and all(r["code"] in listed for r in as_json)


def test_settings_with_their_origin(tmp_path: Path) -> None:
    """Every setting is shown with its value and where it comes from."""
    (tmp_path / "mllint-bio.toml").write_text("select = ['MLB7']\n")
    shown = mllint_bio("config", str(tmp_path), "--preview")
    assert 'select = ["MLB7"]  # ' + str(tmp_path / "mllint-bio.toml") in shown.stdout
    assert "preview = true  # command line" in shown.stdout
    assert 'fail-on = "warning"  # default' in shown.stdout
    as_json = json.loads(mllint_bio("config", str(tmp_path), "--output-format", "json").stdout)
    assert as_json["select"] == {"value": ["MLB7"], "origin": str(tmp_path / "mllint-bio.toml")}


def test_wrong_command_names_the_nearest() -> None:
    """A misspelt command is one line and status 2."""
    result = mllint_bio("chekc")
    assert (result.returncode, result.stdout) == (2, "") and "'check'" in result.stderr


def test_server_without_its_extra_says_what_to_install() -> None:
    """Where pygls is missing the error is one line that names the extra."""
    code = "import sys; sys.modules['pygls'] = None; from mllint_bio.cli import main; main(['server'])"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert result.returncode == 2 and result.stderr.count("\n") == 1 and "mllint-bio[lsp]" in result.stderr
