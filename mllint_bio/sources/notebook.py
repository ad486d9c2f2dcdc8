"""Notebooks: code cells joined to one program, IPython syntax masked, one broken cell dropped and the rest kept.

The JSON is read with the standard library: `import nbformat` costs 140 ms of start-up, `json` 10 ms, and the five keys that
matter (`cells` or `worksheets`, `cell_type`, `source` or `input`, `execution_count` or `prompt_number`, `metadata`) have kept
their meaning since nbformat 2; nbformat's schemas also refuse notebooks whose code can be read without doubt.

Masking replaces characters by as many others on the same line, so that no offset, line or column moves. What IPython allows and
Python does not:

    %magic  !shell  ?help  help??  automagic     -> `pass`
    x = !ls, x = %pwd                            -> the binding stays, to a name that nothing defines
    %time statement, %%time, %%capture, ...      -> the code they run stays
    %%bash and other cell magics                 -> the cell is blank
    a cell that is indented as a whole           -> dedented; `SourceUnit.removed` keeps the columns
"""

from __future__ import annotations

import ast
import json
import re
import warnings
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from mllint_bio.sources.python_file import MAX_BYTES, Unreadable, clean, digest, too_large, unreadable_unit, without_form_feeds
from mllint_bio.sources.scan import next_statement
from mllint_bio.sources.unit import LINE_BREAK, Cell, Problem, SourceUnit

MAX_NOTEBOOK_BYTES = 100_000_000  # pictures in outputs make honest notebooks large; their code has the limit of a file

_PYTHON = frozenset({"ipython", "sage", "sagemath", "xpython", "xeus-python", "pyodide"})
_LANGUAGES = {"r": "R", "julia": "Julia", "matlab": "MATLAB", "octave": "Octave", "bash": "Bash", "scala": "Scala", "sos": "SoS"}
_KERNELS = _LANGUAGES | {"ir": "R", "irkernel": "R", "xr": "R", "spark": "Scala"}  # for metadata that name no language

# Cell magics whose body runs as Python in this kernel.
_KEEPS_BODY = frozenset(
    {"time", "timeit", "capture", "prun", "debug", "python", "python3", "pypy", "ipytest", "memit", "mprun", "lprun", "wandb"}
)
_OPTIONS = r"(?:-[a-zA-Z](?:[ \t]*\d+|[ \t]+\w+)?[ \t]+)*"
_RUNS_STATEMENT = re.compile(rf"(?P<indent>[ \t]*)%(?:time|timeit|prun|memit)[ \t]+{_OPTIONS}(?=\S)")
_CELL_MAGIC = re.compile(r"\s*%%(?P<name>\w*)")
_ESCAPED = re.compile(r"[ \t]*[%!?]")
_HELP = re.compile(r"[ \t]*[%\w.*\[\]'\"]+\?{1,2}[ \t]*;?[ \t]*(?:#.*)?$")
_ASSIGNED = re.compile(r"(?P<target>[^=#'\"\r\n]*[^=!<>:#'\"\r\n]=[ \t]*)(?P<magic>[!%])")
# IPython runs `pip install x` as `%pip install x`: magics that need no `%`, and the shell commands that it has as aliases.
_AUTOMAGICS = (
    "alias autoreload cat cd clear conda cp dirs env history less load_ext ls lsmagic mamba man matplotlib mkdir more mv pip "
    "pip3 popd pushd pwd pylab reload_ext reset rm rmdir run system time timeit uv who whos"
)
_AUTOMAGIC = re.compile(rf"[ \t]*(?:{'|'.join(_AUTOMAGICS.split())})(?:[ \t]+[^\s=(]|[ \t]*$)")

_LINES = re.compile(r"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
_NOT_BREAK = re.compile(r"[^\r\n]")


@dataclass(frozen=True, slots=True)
class _Prepared:
    """One cell ready to be joined: equally long lines, minus what `removed` cut; `broken` is (row, column, message) or None."""

    text: str
    display: str
    removed: dict[int, str] = field(default_factory=dict)
    broken: tuple[int, int, str] | None = None


def notebook_unit(data: str | bytes, shown: str) -> SourceUnit:
    """The unit of a notebook's content (JSON)."""
    mark = digest(data)
    try:
        notebook = _load(data, shown)
        cells = _code_cells(notebook, shown)
        size = sum(len(source) for _, _, source in cells)
        if size > MAX_BYTES:
            raise Unreadable(too_large(shown, size, MAX_BYTES))
    except Unreadable as error:
        return unreadable_unit(shown, "notebook", error.problem, mark)
    language = _language(notebook)
    if language:
        return SourceUnit(shown, "", "notebook", skipped=f"{language} notebook: only Python is analysed", digest=mark)
    return _join(cells, shown, mark, python2=_is_python2(notebook))


def original_cells(data: str | bytes, shown: str) -> list[tuple[str, tuple[str, ...]]]:
    """Source of each code cell as its author wrote it, magics included, and its tags; in the order of `SourceUnit.cells`.

    Raises Unreadable when there are no cells or one is malformed.
    """
    notebook = _load(data, shown)
    found = _code_cells(notebook, shown)  # first: it says what is malformed
    cells = notebook.get("cells", [])
    return [(source, _tags(cells[number - 1]) if cells else ()) for number, _, source in found]


def _tags(cell: dict[str, Any]) -> tuple[str, ...]:
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return tuple(tag for tag in tags if isinstance(tag, str)) if isinstance(tags, list) else ()


def _load(data: str | bytes, shown: str) -> dict[str, Any]:
    try:
        text = data.decode("utf-8-sig") if isinstance(data, bytes) else data.removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        message = f"is not a notebook: byte {error.start} is not valid UTF-8"
        raise Unreadable(Problem(shown, 1, 1, message, code="notebook")) from error
    if not text.strip():
        raise Unreadable(Problem(shown, 1, 1, "is empty: not a notebook", code="notebook"))
    try:
        notebook = json.loads(text)
    except json.JSONDecodeError as error:
        raise Unreadable(Problem(shown, error.lineno, error.colno, f"is not valid JSON: {error.msg}", code="notebook")) from error
    except (ValueError, RecursionError, MemoryError) as error:  # a number of 5,000 digits; 100,000 nested brackets
        reason = "nested too deeply" if isinstance(error, RecursionError) else str(error)
        raise Unreadable(Problem(shown, 1, 1, f"is not a notebook: {reason}", code="notebook")) from error
    if not isinstance(notebook, dict):
        raise Unreadable(Problem(shown, 1, 1, "is not a notebook: the JSON holds no object", code="notebook"))
    return notebook


def _code_cells(notebook: dict[str, Any], shown: str) -> list[tuple[int, int | None, str]]:
    """Number, execution count and source of each code cell; nbformat 2 and 3 keep cells in worksheets.

    Raises Unreadable when there are no cells or one is malformed.
    """
    cells = notebook.get("cells")
    if cells is None and isinstance(sheets := notebook.get("worksheets"), list):
        cells = []
        for sheet in sheets:
            part = sheet.get("cells") if isinstance(sheet, dict) else None
            if not isinstance(part, list):
                raise Unreadable(Problem(shown, 1, 1, "is not a notebook: a worksheet has no cells", code="notebook"))
            cells += part
    if not isinstance(cells, list):
        raise Unreadable(Problem(shown, 1, 1, "is not a notebook: it has no cells", code="notebook"))
    found: list[tuple[int, int | None, str]] = []
    for number, cell in enumerate(cells, 1):
        if not isinstance(cell, dict):
            raise Unreadable(Problem(shown, 1, 1, "is not a notebook cell", cell=number, code="notebook"))
        if cell.get("cell_type") != "code":
            continue
        source = cell.get("source", cell.get("input", ""))
        if isinstance(source, list) and all(isinstance(line, str) for line in source):
            source = "".join(source)
        if not isinstance(source, str):
            raise Unreadable(Problem(shown, 1, 1, "the source of the cell is not text", cell=number, code="notebook"))
        count = cell.get("execution_count", cell.get("prompt_number"))
        found.append((number, count if isinstance(count, int) and not isinstance(count, bool) else None, clean(source)))
    return found


def _metadata(notebook: dict[str, Any], section: str) -> dict[str, Any]:
    metadata = notebook.get("metadata")
    part = metadata.get(section) if isinstance(metadata, dict) else None
    return part if isinstance(part, dict) else {}


def _language(notebook: dict[str, Any]) -> str:
    """The language if it is not Python; a notebook that does not say is taken for Python, as Jupyter does."""
    kernel = _metadata(notebook, "kernelspec")
    for said in (_metadata(notebook, "language_info").get("name"), kernel.get("language")):
        if isinstance(said, str) and said.strip():
            word = said.strip().lower()
            return "" if word in _PYTHON or word.startswith("python") else _LANGUAGES.get(word, said.strip()[:40])
    name = kernel.get("name")
    word = re.split(r"[-_\s\d]", name.strip().lower())[0] if isinstance(name, str) else ""
    return _KERNELS.get(word, "")


def _is_python2(notebook: dict[str, Any]) -> bool:
    version = _metadata(notebook, "language_info").get("version")
    return (isinstance(version, str) and version.startswith("2.")) or _metadata(notebook, "kernelspec").get("name") == "python2"


def _join(cells: list[tuple[int, int | None, str]], shown: str, mark: str, *, python2: bool) -> SourceUnit:
    texts: list[str] = []
    displays: list[str] = []
    joined: list[Cell] = []
    problems: list[Problem] = []
    removed: dict[int, str] = {}
    offset = line = 0
    for number, count, source in cells:
        cell = _prepare(source)
        if cell.broken:
            row, column, message = cell.broken
            problems.append(Problem(shown, row, column, f"cell left out: {message}", cell=number, code="syntax"))
        # The line break is ours: without it the last statement of one cell would run on into the next cell.
        texts.append(cell.text + "\n")
        displays.append(cell.display + "\n")
        joined.append(Cell(number, offset, offset + len(cell.text), count))
        removed |= {line + index: cut for index, cut in cell.removed.items()}
        offset += len(cell.text) + 1
        line += len(LINE_BREAK.findall(texts[-1]))
    if python2 and len(problems) > 1:
        first = problems[0]
        message = f"{len(problems)} of {len(cells)} cells left out: not valid Python 3 (the kernel is Python 2)"
        problems = [Problem(shown, first.row, first.column, message, cell=first.cell, code="syntax")]
    return SourceUnit(shown, "".join(texts), "notebook", tuple(joined), tuple(problems), "", "".join(displays), mark, removed)


@lru_cache(maxsize=4096)
def _prepare(source: str) -> _Prepared:
    """Mask one cell. Kept per text, so that a keystroke in an editor costs one cell, not the notebook."""
    display, removed = without_form_feeds(source) if "\f" in source else (source, {})
    if _fault(display) is None:  # most cells are plain Python, and then every `%` and `!` in them is Python too
        return _Prepared(display, display, removed)
    display = _dedented(display, removed)
    text, display = _masked(display, removed)
    fault = _fault(text)
    if fault is None:
        return _Prepared(text, display, removed)
    row, column, message = fault
    return _Prepared(_blank(source), source, {}, (row, column + len(removed.get(row - 1, "")), message))


def _fault(text: str) -> tuple[int, int, str] | None:
    """Row, column and message of a syntax error, or None."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "\d" in a user's string is not for us to print
            ast.parse(text)
    except SyntaxError as error:
        return max(error.lineno or 1, 1), max(error.offset or 1, 1), error.msg
    except (ValueError, OverflowError) as error:  # NUL characters; numbers of 5,000 digits
        return 1, 1, str(error)
    except (RecursionError, MemoryError):
        return 1, 1, "nested too deeply"
    return None


def _dedented(source: str, removed: dict[int, str]) -> str:
    """The cell without the indentation of its first line of code, which IPython takes from every line that starts with it."""
    lines = _LINES.findall(source)
    first = next((line for line in lines if line.strip()), "")
    indent = first[: len(first) - len(first.lstrip(" \t"))]
    if indent:
        for index, line in enumerate(lines):
            if line.startswith(indent) and line.strip():  # not a blank line: two line breaks could become one
                removed[index] = removed.get(index, "") + indent
                lines[index] = line[len(indent) :]
    return "".join(lines)


def _masked(source: str, removed: dict[int, str]) -> tuple[str, str]:
    """Python text of the cell, and the text to show with the same length; what is cut goes to `removed`."""
    magic = _CELL_MAGIC.match(source)
    if magic and magic["name"] not in _KEEPS_BODY:
        return _blank(source), source
    text: list[str] = []
    display: list[str] = []
    position = line = 0
    while position < len(source):
        end, python, cut = _statement(source, position)
        original = source[position:end]
        text.append(python)
        display.append(original[cut:])
        if cut:
            removed[line] = removed.get(line, "") + original[:cut]
        line += len(LINE_BREAK.findall(original))
        position = end
    return "".join(text), "".join(display)


def _statement(source: str, start: int) -> tuple[int, str, int]:
    """The logical line at `start`: where it ends, the Python that stands for it, and by how many characters that is shorter."""
    first = source[start : _line_end(source, start)]
    magic_end = _line_end(source, start, continued=True)
    runs = _RUNS_STATEMENT.match(first)
    if runs:
        indent = runs["indent"]
        end = next_statement(source, runs.end() + start)
        statement = source[start + runs.end() : end]
        if _fault(statement) is None:
            return end, indent + statement, runs.end() - len(indent)
    if _ESCAPED.match(first) or _HELP.match(first.rstrip()):
        return magic_end, _as_pass(source[start:magic_end]), 0
    assigned = _ASSIGNED.match(first)
    if assigned:
        magic = start + assigned.start("magic")
        return magic_end, source[start:magic] + _as_name(source[magic:magic_end]), 0
    if _AUTOMAGIC.match(first) and _fault(first.strip()) is not None:
        return magic_end, _as_pass(source[start:magic_end]), 0
    end = next_statement(source, start)
    return end, source[start:end], 0


def _line_end(source: str, start: int, *, continued: bool = False) -> int:
    """End of the line with its line break; with `continued`, of the last line that a backslash joins to it."""
    while (line_break := LINE_BREAK.search(source, start)) is not None:
        start = line_break.end()
        if not (continued and source[: line_break.start()].endswith("\\")):
            return start
    return len(source)


def _as_pass(magic: str) -> str:
    """A statement without effect, as long as the magic and with its indentation; one character is the shortest magic."""
    code = magic.lstrip(" \t")
    statement = "pass" if len(_first_line(code)) >= len("pass") else "0"
    return magic[: len(magic) - len(code)] + statement + _blank(code[len(statement) :])


def _as_name(magic: str) -> str:
    """A name that nothing defines, so that the value is unknown: `None` would be a claim about it."""
    width = len(_first_line(magic))
    return "_" * width + _blank(magic[width:])


def _first_line(text: str) -> str:
    return LINE_BREAK.split(text, maxsplit=1)[0]


def _blank(text: str) -> str:
    return _NOT_BREAK.sub(" ", text)
