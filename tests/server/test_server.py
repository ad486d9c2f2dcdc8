"""The language server, talked to by a real client over stdin and stdout."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

pytest.importorskip("pygls", reason="needs the extra `lsp`")
pytest.importorskip("pytest_lsp", reason="needs the extra `dev`")

import pytest_asyncio
from lsprotocol import types

from tests.server.editor import Editor

ROOT = Path(__file__).parents[2]
FAKE = str(Path(__file__).with_name("fake_server.py"))
PROJECT = ROOT / "fixtures" / "project"

LEAK = """\
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

table = pd.read_csv("metabolites.csv")
y = table.pop("sepsis")
X = StandardScaler().fit_transform(table)
X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
model = LogisticRegression().fit(X_train, y_train)
print(roc_auc_score(y_test, model.predict_proba(X_test)[:, 1]))
"""
FIT = "X = StandardScaler().fit_transform(table)\n"
CLEAN = LEAK.replace(FIT, "X = table\n")

pytestmark = pytest.mark.asyncio


async def session(*command: str) -> AsyncIterator[Editor]:
    """An editor with a server of its own, ended as editors do."""
    editor = Editor()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"}
    await editor.start_io(sys.executable, *command, env=environment)
    yield editor
    if editor._server is not None and editor._server.returncode is None:
        await asyncio.wait_for(editor.shutdown_session(), 60)
    await editor.stop()


@pytest_asyncio.fixture
async def bare() -> AsyncIterator[Editor]:
    """An editor that has not said hello yet."""
    async for editor in session("-m", "mllint_bio", "server"):
        yield editor


@pytest_asyncio.fixture
async def editor(bare: Editor) -> Editor:
    """An editor with the real server."""
    await bare.start()
    return bare


@pytest_asyncio.fixture
async def faked() -> AsyncIterator[Editor]:
    """An editor with a server over the fake interpreter: each line with `fault` is a finding."""
    async for editor in session(FAKE):
        await editor.start()
        yield editor


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A project of its own."""
    (tmp_path / "mllint-bio.toml").write_text("")
    return tmp_path


def codes(diagnostics: list[types.Diagnostic]) -> list[str]:
    """Codes without variants."""
    return sorted(str(d.code).split("[")[0] for d in diagnostics)


def lines(diagnostics: list[types.Diagnostic]) -> list[int]:
    """Line numbers from 0."""
    return sorted(d.range.start.line for d in diagnostics)


async def test_a_finding_as_the_editor_shows_it(editor: Editor, folder: Path) -> None:
    """A finding in unsaved text has its range, severity, source, code with the rule's page, remedy and labelled evidence."""
    found = await editor.look(folder / "train.py", LEAK)
    one = next(d for d in found if codes([d]) == ["MLB706"])
    assert (one.range.start, one.range.end) == (types.Position(8, 4), types.Position(8, 41))
    assert one.severity == types.DiagnosticSeverity.Warning and one.source == "mllint-bio"
    assert one.code_description is not None and one.code_description.href.endswith("/mlb706-transform-fitted-before-split.html")
    message, remedy = one.message.split("\n")
    assert "StandardScaler" in message and remedy.startswith("Remedy: Fit it on the training rows only")
    related = {info.message: info.location for info in one.related_information or ()}
    assert related["split here"].range.start == types.Position(9, 35)
    assert {location.uri for location in related.values()} == {(folder / "train.py").as_uri()}


async def test_columns_are_counted_in_utf16(editor: Editor, folder: Path) -> None:
    """Characters outside the basic plane count twice for an editor that does not say otherwise, in evidence as well."""
    text = LEAK.replace(FIT, '"🧬é"; ' + FIT).replace("X_train, X_test, y_train", '"🧪"; X_train, X_test, y_train')
    (one,) = [d for d in await editor.look(folder / "train.py", text) if codes([d]) == ["MLB706"]]
    line = text.split("\n")[8]
    assert one.range.start.character == len(line[: line.index("Standard")].encode("utf-16-le")) // 2 == 11
    split = next(info for info in one.related_information or () if info.message == "split here")
    assert split.location.range.start.character == 35 + len('"🧪"; ') + 1


async def test_columns_are_counted_as_the_editor_asks(bare: Editor, folder: Path) -> None:
    """An editor that counts in UTF-8 gets bytes, and one that shows no related information gets the evidence in words."""
    await bare.start(general=types.GeneralClientCapabilities(position_encodings=[types.PositionEncodingKind.Utf8]))
    (one,) = [d for d in await bare.look(folder / "t.py", LEAK.replace(FIT, '"🧬é"; ' + FIT)) if codes([d]) == ["MLB706"]]
    assert one.range.start.character == 14
    assert one.related_information is None
    assert "- split here: X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)" in one.message.split("\n")


async def test_unsaved_text_counts_and_not_the_file(editor: Editor, folder: Path) -> None:
    """The file on disk is clean, the text in the editor is not; when it is mended there, the finding goes."""
    file = folder / "train.py"
    file.write_text(CLEAN)
    assert codes(await editor.look(file, LEAK)) == ["MLB706"]
    assert await editor.edit(file.as_uri(), CLEAN) == []


async def test_evidence_in_other_files(editor: Editor, folder: Path) -> None:
    """A finding in a module points into the script that drives it, as that is in the editor or else on disk."""
    shutil.copytree(PROJECT, folder / "study")
    data, train = folder / "study" / "data.py", folder / "study" / "train.py"

    def scored(found: list[types.Diagnostic]) -> list[tuple[str, int]]:
        (one,) = [d for d in found if codes([d]) == ["MLB706"]]
        return [(i.location.uri, i.location.range.start.line) for i in one.related_information or () if "scored" in i.message]

    assert scored(await editor.look(data, data.read_text())) == [(train.as_uri(), 12)]
    await editor.look(train, "# one\n# two\n" + train.read_text())
    assert scored(await editor.edit(data.as_uri(), data.read_text() + "\n")) == [(train.as_uri(), 14)]
    editor.close(train.as_uri())
    assert scored(await editor.edit(data.as_uri(), data.read_text() + "\n\n")) == [(train.as_uri(), 12)]
    train.write_text("# one\n" + train.read_text())
    assert scored(await editor.edit(data.as_uri(), data.read_text() + "\n")) == [(train.as_uri(), 13)]


async def test_saving_checks_the_other_documents_too(editor: Editor, folder: Path) -> None:
    """When a helper is saved, what rests on it is checked again: the seed that it sets reaches the program."""
    helper, train = folder / "helper.py", folder / "train.py"
    use = CLEAN.replace(", random_state=0", "") + "\nimport helper\n"
    use = "import helper\nhelper.seed()\n" + use
    unseeded, seeded = "def seed():\n    pass\n", "import numpy as np\ndef seed():\n    np.random.seed(0)\n"
    helper.write_text(unseeded)
    before = codes(await editor.look(train, use))
    helper.write_text(seeded)
    await editor.look(helper, seeded)
    editor.save(helper.as_uri())
    after = codes(await editor.next(train.as_uri()))
    assert "MLB303" in before and "MLB303" not in after


async def test_closing_clears(editor: Editor, folder: Path) -> None:
    """A closed document has no diagnostics, and its text no longer counts when it is opened again."""
    uri = editor.open(folder / "train.py", LEAK)
    assert await editor.next(uri)
    editor.close(uri)
    assert await editor.next(uri) == []
    assert await editor.look(folder / "train.py", CLEAN) == []


async def test_a_syntax_error_keeps_the_last_good_findings(editor: Editor, folder: Path) -> None:
    """While a text does not parse, its findings stay at their lines beside the error; those on edited lines go."""
    uri = editor.open(folder / "train.py", LEAK)
    assert lines(await editor.next(uri)) == [8]
    broken = await editor.edit(uri, "import torch\nx = (\n" + LEAK)
    assert lines([d for d in broken if d.code]) == [10]
    (error,) = [d for d in broken if not d.code]
    assert error.severity == types.DiagnosticSeverity.Error and error.message.startswith("syntax error: ")
    assert (error.range.start, error.source) == (types.Position(1, 4), "mllint-bio")
    (error,) = await editor.edit(uri, LEAK.replace(FIT, FIT.replace("(table)", "(table")))
    assert error.range.start.line == 8
    assert lines(await editor.edit(uri, "\n" + LEAK)) == [9]


async def test_settings_are_those_of_the_nearest_file(editor: Editor, folder: Path) -> None:
    """A change of the settings holds for the next check; wrong settings are said once and change nothing."""
    settings = folder / "mllint-bio.toml"
    uri = editor.open(folder / "train.py", LEAK)
    assert codes(await editor.next(uri)) == ["MLB706"]
    settings.write_text("ignored = 1\n")
    assert codes(await editor.edit(uri, LEAK + "\n")) == ["MLB706"]
    assert codes(await editor.edit(uri, "\n" + LEAK)) == ["MLB706"]
    (told,) = editor.messages
    assert "ignored" in told.message and told.type == types.MessageType.Error
    settings.write_text('ignore = ["MLB706"]\n')
    editor.save(uri)
    assert await editor.next(uri) == []
    settings.write_text('per-file-ignores = {"tr*.py" = ["transform-fitted-before-split"]}\n')
    editor.save(uri)
    assert await editor.next(uri) == []
    settings.write_text('exclude = ["other"]\n')
    editor.save(uri)
    assert codes(await editor.next(uri)) == ["MLB706"]


async def test_changed_settings_are_noticed_where_the_editor_watches(bare: Editor, folder: Path) -> None:
    """The server asks to be told of changed files, and then checks what is open."""
    watching = types.DidChangeWatchedFilesClientCapabilities(dynamic_registration=True)
    asked: list[types.RegistrationParams] = []
    bare.feature(types.CLIENT_REGISTER_CAPABILITY)(lambda params: asked.append(params))
    await bare.start(workspace=types.WorkspaceClientCapabilities(did_change_watched_files=watching))
    uri = bare.open(folder / "train.py", LEAK)
    assert codes(await bare.next(uri)) == ["MLB706"]
    (registration,) = asked[0].registrations
    assert registration.method == types.WORKSPACE_DID_CHANGE_WATCHED_FILES
    (folder / "mllint-bio.toml").write_text('ignore = ["MLB706"]\n')
    event = types.FileEvent((folder / "mllint-bio.toml").as_uri(), types.FileChangeType.Changed)
    bare.workspace_did_change_watched_files(types.DidChangeWatchedFilesParams([event]))
    assert await bare.next(uri) == []


async def test_excluded_files_are_left_alone(editor: Editor, folder: Path) -> None:
    """What the settings exclude is not checked, such as a library's source that was looked up."""
    for name in ("site-packages", "own"):
        (folder / name).mkdir()
        (folder / name / "module.py").write_text(LEAK)
    assert await editor.look(folder / "site-packages" / "module.py", LEAK) == []
    assert codes(await editor.look(folder / "own" / "module.py", LEAK)) == ["MLB706"]


async def test_jupyterlab_sends_python_under_the_name_of_a_notebook(editor: Editor, folder: Path) -> None:
    """A notebook's cells in one text are checked by their language, beside the files that the notebook lies among."""
    (folder / "notebooks").mkdir()
    (folder / "notebooks" / "helper.py").write_text("from sklearn.preprocessing import StandardScaler as Scale\n")
    text = 'get_ipython().run_line_magic("matplotlib", "inline")\n\n\n' + LEAK.replace(
        "from sklearn.preprocessing import StandardScaler", "from helper import Scale"
    ).replace("StandardScaler()", "Scale()")
    found = await editor.look(folder / ".virtual_documents" / "notebooks" / "nb.ipynb", text)
    assert codes(found) == ["MLB706"] and lines(found) == [11]


async def test_only_python_is_checked(editor: Editor, folder: Path) -> None:
    """A notebook's JSON, one cell of it and other languages are left alone; new files that have no name yet are checked."""
    ignored = [
        editor.open(folder / "nb.ipynb", '{"cells": []}', "json"),
        editor.open(folder / "train.R", LEAK, "r"),
        editor.open("vscode-notebook-cell:/home/a/nb.ipynb#W0", LEAK),
        editor.open("git:/home/a/train.py?ref", LEAK),
    ]
    for uri in ignored:
        editor.change(uri, LEAK)
        editor.save(uri)
        editor.close(uri)
    assert codes(await editor.look("untitled:Untitled-1", LEAK)) == ["MLB706"]
    assert {params.uri for params in editor.published} == {"untitled:Untitled-1"}


BAD = {
    "empty": "",
    "blank": "\n\n\x0c\n",
    "nul": "x = 1\0\n",
    "surrogate": "x = '\ud83e'\nimport torch\n",
    "not Python": "\x7fELF\x02\x01\x01" + "".join(map(chr, range(128, 4000))),
    "declared": "# -*- coding: no-such-encoding -*-\nimport torch\n",
    "utf-16 declared": "# -*- coding: utf-16 -*-\nimport torch\n",
    "huge": "import torch\n" + "x = 1\n" * 500_000,
    "one long line": "import torch; x = [" + "1, " * 100_000 + "]\n",
    "nested": "import torch\nx = " + "(" * 1500 + "1" + ")" * 1500 + "\n",
    "chain": "import torch\nx = y" + ".f()" * 3000 + "\n",
    "sum": "import torch\nx = " + " + ".join(["a"] * 3000) + "\n",
    "blocks": "import torch\n" + "".join(" " * i + "if x:\n" for i in range(150)),
    "unterminated": 'import torch\nx = """',
    "returns": "import torch\rx = (\r",
}


async def test_bad_texts_do_not_stop_the_server(editor: Editor, folder: Path) -> None:
    """Whatever a text holds, the editor gets an answer for it and for the sound text after it."""
    uri = editor.open(folder / "train.py", LEAK)
    assert codes(await editor.next(uri)) == ["MLB706"]
    for name, text in BAD.items():
        for one in await editor.edit(uri, text):
            assert one.range.start.line <= text.count("\n") + text.count("\r"), name
    assert codes(await editor.edit(uri, LEAK)) == ["MLB706"]


async def test_bad_addresses_do_not_stop_the_server(editor: Editor, folder: Path) -> None:
    """Documents with strange addresses, and messages about documents that are not open, are survived."""
    for uri in (
        "",
        "file:",
        "file:///a%00b.py",
        "file://[bad/x.py",
        "untitled:",
        "nonsense",
        "file:///no/such/folder/a.py",
        "file:///",
    ):
        editor.open(uri, LEAK)
        editor.change(uri, LEAK + "\n")
        editor.save(uri)
        editor.close(uri)
    for message in (editor.change, lambda uri, text: editor.save(uri), lambda uri, text: editor.close(uri)):
        message("file:///never/opened.py", LEAK)
    assert codes(await editor.look(folder / "train.py", LEAK)) == ["MLB706"]


async def test_keystrokes_in_quick_succession_are_one_check(faked: Editor, folder: Path) -> None:
    """Only the text at which the writer pauses is analysed."""
    uri = faked.open(folder / "train.py", "fault\n")
    await faked.next(uri)
    for number in range(5):
        faked.change(uri, "fault\n" * number)
    assert len(await faked.next(uri)) == 8  # two rules, four lines
    assert (folder / "train.py.log").read_text() == "analysed\n" * 2


async def test_a_result_that_comes_too_late_is_dropped(faked: Editor, folder: Path) -> None:
    """Nothing is shown for a text that was changed, or a document that was closed, while it was analysed."""
    uri, other = faked.open(folder / "train.py", "fault\nslow\n"), faked.open(folder / "other.py", "fault\nslow\n")
    while not (folder / "train.py.log").exists():
        await asyncio.sleep(0.01)
    faked.change(uri, "fault\nfault\n")
    assert lines(await faked.next(uri)) == [0, 0, 1, 1]
    assert faked.versions(uri) == [2]
    faked.save(other)
    faked.close(other)
    assert lines(await faked.edit(uri, "\nfault\n")) == [1, 1]
    assert not [params.diagnostics for params in faked.published if params.uri == other][-1]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("crash", "ValueError: the interpreter failed"),
        ("lost", "KeyError"),
        ("segfault", "exit status -9"),
        ("hang", "more than 6 s"),
    ],
)
async def test_a_failing_analysis_is_logged_and_survived(faked: Editor, folder: Path, line: str, reason: str) -> None:
    """The analysis raises, dies or hangs: that is logged, the last good findings stay, and the next text is checked."""
    uri = faked.open(folder / "train.py", "x\nfault\n")
    assert lines(await faked.next(uri)) == [1, 1]
    assert lines(await faked.edit(uri, f"{line}\nx\nfault\n")) == [2, 2]
    assert reason in faked.logged() and str(folder / "train.py") in faked.logged()
    assert lines(await faked.edit(uri, "fault\nfault\n")) == [0, 0, 1, 1]


async def test_what_a_plugin_prints_is_no_message(faked: Editor, folder: Path) -> None:
    """A rule that writes to standard output does not disturb the conversation."""
    assert codes(await faked.look(folder / "train.py", "fault\n")) == ["TST101", "TST102"]


def children(pid: int) -> set[int]:
    """Processes that a process has started."""
    found = set()
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = status.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            found.add(int(status.parent.name))
    return found


async def gone(pid: int) -> None:
    """Wait until a process has ended."""
    while (Path("/proc") / str(pid) / "cmdline").exists() and (Path("/proc") / str(pid) / "cmdline").read_bytes():
        await asyncio.sleep(0.05)


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="needs /proc to see processes")
@pytest.mark.parametrize(("politely", "text"), [(True, "hang\n"), (False, "slow\n")])
async def test_the_end(faked: Editor, folder: Path, politely: bool, text: str) -> None:
    """The server ends with 0 when asked to, even in the middle of a check, and its worker never outlives it, however it ends."""
    await faked.look(folder / "train.py", "fault\n")
    server = faked._server
    assert server is not None
    workers = children(server.pid)
    assert workers
    faked.change((folder / "train.py").as_uri(), text)
    await asyncio.sleep(0.5)
    if politely:
        await asyncio.wait_for(faked.shutdown_session(), 30)
        assert server.returncode == 0
    else:
        server.send_signal(signal.SIGKILL)
        await server.wait()
    for worker in workers:
        await asyncio.wait_for(gone(worker), 60)
