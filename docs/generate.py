"""Writes what the documentation takes from the code: `python docs/generate.py`, or with `--check` says what is out of date.

- `docs/rules/`: one page a rule, from its docstring, its attributes and its fixtures, and an index by tip;
- parts of other pages between `<!-- generated: NAME -->` and `<!-- end -->`: see `BLOCKS`.

A rule's address (`mllint_bio.diagnostics.rule_url`) ends in the name of its page with `.html`, as MkDocs names it.
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import mllint_bio.predict
import mllint_bio_rules
from mllint_bio.catalog import schema
from mllint_bio.cli.tips import TIPS
from mllint_bio.config import OPTIONS, SETTINGS
from mllint_bio.diagnostics import ENGINE_CODES, EngineCode, rule_url
from mllint_bio.rule import Rule, Status, rules_of

DOCS = Path(__file__).parent
ROOT = DOCS.parent
STATUS = {
    Status.ON: "on by default",
    Status.PREVIEW: "preview: needs `--preview`",
    Status.OPT_IN: "opt-in: only when selected by its own code or name",
}
NOTE = "<!-- Written by docs/generate.py from the rule and its fixtures: edit those. -->"

ABOUT = """\
By tip of Lee et al., *Ten quick tips for deep learning in biology* (2022). `mllint-bio rule CODE` shows a page in the terminal.

Severity: an `error` is wrong by construction, a `warning` is probably biased or irreproducible, `info` is a gap in the report.
A finding that rests on a name, a default or a call that could not be followed is at most a warning.

"How a run confirms it" says what a measured run of the program would show. `mllint-bio confirm` does that."""


def main() -> int:
    """Write, or compare with what is there; the exit status is 1 if something is out of date."""
    wanted = pages()
    stale = [path for path, text in wanted.items() if not path.is_file() or path.read_text(encoding="utf-8") != text]
    surplus = [path for path in (DOCS / "rules").glob("*.md") if path not in wanted]
    if "--check" in sys.argv[1:]:
        print(
            "".join(f"{path.relative_to(ROOT)} is out of date: run `python docs/generate.py`\n" for path in stale + surplus),
            end="",
        )
        return int(bool(stale or surplus))
    for path in stale:
        path.parent.mkdir(exist_ok=True)
        path.write_text(wanted[path], encoding="utf-8", newline="\n")
    for path in surplus:
        path.unlink()
    return 0


def pages() -> dict[Path, str]:
    """Every page that is written here, wholly or in part, and its text as it should be."""
    rules = sorted((rule() for rule in rules_of(mllint_bio_rules)), key=lambda rule: rule.code)
    found = {page_of(rule.code, rule.name): rule_page(rule) for rule in rules}
    found |= {page_of(code.code, code.name): engine_page(code) for code in ENGINE_CODES.values()}
    found[DOCS / "rules" / "README.md"] = index(rules)
    for path in sorted(DOCS.glob("*.md")):
        text = path.read_text(encoding="utf-8")
        if "<!-- generated:" in text:
            found[path] = filled(text)
    return found


def page_of(code: str, name: str) -> Path:
    """The file to which a rule's address leads."""
    return DOCS / "rules" / (rule_url(code, name).rsplit("/", 1)[-1].removesuffix(".html") + ".md")


# -- rules ---------------------------------------------------------------------------------------------------------------


def rule_page(rule: Rule) -> str:
    """The page of a rule."""
    accepting = (
        f"## Accepting a finding\n\n```python\n...  # mllint-bio: ignore[{rule.code}] -- why it is right here\n```\n\n"
        f"For whole files: `per-file-ignores` in the [configuration](../configuration.md), with `{rule.code}` or `{rule.name}`. "
        "See [suppressions](../suppressions.md)."
    )
    sections = [
        f"# {rule.code} {rule.name}\n\n{NOTE}",
        table(
            ["Severity", "Status", "Tip"],
            [[rule.severity.label, STATUS[rule.status], f"[{_tip(rule.tip)}](README.md#{_anchor(rule.tip)})"]],
        ),
        rule.page().rstrip(),
        "\n\n".join(_facts(rule)),
        _shown(rule),
        accepting,
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def _facts(rule: Rule) -> Iterator[str]:
    if rule.remedy:
        yield f"## Remedy\n\n{rule.remedy}"
    if rule.variants:
        names = ", ".join(f"`{rule.code}[{v}]`{' (preview)' if v in rule.preview_variants else ''}" for v in rule.variants)
        yield f"## Variants\n\nEach can be selected, ignored and suppressed for itself: {names}."
    limits = []
    if rule.programs_only:
        limits.append("scripts and notebooks only, not functions that nothing in the project calls")
    if rule.skip_tests:
        limits.append("not in tests and documentation")
    if limits:
        yield f"## Where it looks\n\n{'; '.join(limits).capitalize()}."


def _shown(rule: Rule) -> str:
    """Two fixtures in full, and all of them in words."""
    fixtures = {kind: sorted((ROOT / "fixtures" / rule.code).glob(f"{kind}_*.py"), key=_length) for kind in ("bad", "good")}
    if not all(fixtures.values()):
        return ""
    parts = ["## Fixtures", "Programs on which the rule is tested. `reported` marks the lines where findings start."]
    for kind, word in (("bad", "Reported"), ("good", "Not reported")):
        parts.append(
            f"{word}, `{fixtures[kind][0].relative_to(ROOT).as_posix()}`:\n\n```python\n{_excerpt(fixtures[kind][0])}\n```"
        )
    for kind, word in (("bad", "reported"), ("good", "not reported")):
        parts.append(
            "\n".join([f"All that are {word}:", "", *(f"- `{path.name}`: {_what(path)}" for path in sorted(fixtures[kind]))])
        )
    return "\n\n".join(parts)


def _length(path: Path) -> tuple[int, str]:
    return path.read_text(encoding="utf-8").count("\n"), path.name


def _excerpt(path: Path) -> str:
    return path.read_text(encoding="utf-8").rstrip().replace("# expect:", "# reported:")


def _what(path: Path) -> str:
    """First sentence of a fixture's docstring."""
    said = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or path.stem.split("_", 1)[1].replace("_", " ")
    return said.split("\n\n", 1)[0].replace("\n", " ")


def engine_page(code: EngineCode) -> str:
    """The page of a diagnostic of the engine."""
    note = "<!-- Written by docs/generate.py from mllint_bio/diagnostics.py: edit that. -->"
    facts = table(["Severity", "Status"], [[code.severity.label, "on by default"]])
    return f"# {code.code} {code.name}\n\n{note}\n\n{facts}\n\n{code.page}\n"


def index(rules: Iterable[Rule]) -> str:
    """The list of all rules, by tip."""
    by_tip = defaultdict(list)
    for rule in rules:
        by_tip[rule.tip].append(rule)
    parts = ["# Rules", "<!-- Written by docs/generate.py: edit the rules. -->", ABOUT]
    for tip, members in sorted(by_tip.items()):
        rows = [[_link(r), r.severity.label, _standing(r), r.summary()] for r in members]
        parts.append(f"## {_tip(tip)}\n\n" + table(["Rule", "Severity", "Status", "What it reports"], rows))
    engine = [[_link(code), code.severity.label, "on", code.page.split("\n", 1)[0]] for code in ENGINE_CODES.values()]
    parts.append("## The engine itself\n\n" + table(["Code", "Severity", "Status", "What it reports"], engine))
    return "\n\n".join(parts) + "\n"


def _standing(rule: Rule) -> str:
    preview = f" ({', '.join(sorted(rule.preview_variants))}: preview)" if rule.preview_variants else ""
    return rule.status + preview


def _link(rule: Rule | EngineCode) -> str:
    return f"[{rule.code}]({page_of(rule.code, rule.name).name}) {rule.name}"


def _tip(tip: int) -> str:
    return f"Tip {tip}. {TIPS[tip]}"


def _anchor(tip: int) -> str:
    return re.sub(r"[^a-z0-9 -]", "", _tip(tip).lower()).replace(" ", "-")


# -- parts of other pages ------------------------------------------------------------------------------------------------


def filled(text: str) -> str:
    """A page with its generated parts written anew. Raises KeyError for a part that nobody writes."""
    pattern = re.compile(r"(<!-- generated: (?P<name>\w+) ?(?P<argument>\S*) -->\n).*?(<!-- end -->)", re.DOTALL)
    return pattern.sub(lambda m: f"{m[1]}\n{BLOCKS[m['name']](m['argument'])}\n\n{m[4]}", text)


def _settings(_: str) -> str:
    rows = [[f"`{name}`", key.meaning, key.expects, _default(key.default)] for name, key in SETTINGS.items()]
    return table(["Key", "Meaning", "Value", "Default"], rows)


def _facts_of_the_study(_: str) -> str:
    """The keys that rules read, each with the rules whose code asks for it, or with the interpreter if it does."""
    predicting = "\n".join(path.read_text("utf-8") for path in Path(mllint_bio.predict.__file__).parent.rglob("*.py"))
    sources = {rule.code: inspect.getsource(sys.modules[rule.__module__]) for rule in rules_of(mllint_bio_rules)}
    rows = []
    for name, key in OPTIONS.items():
        readers = [code for code, text in sorted(sources.items()) if f'options.get("{name}"' in text]
        if f'options.get("{name}"' in predicting or f'study.get("{name}"' in predicting:
            readers = ["what the program does with its rows, so all rules"]
        rows.append([f"`{name}`", key.meaning, key.expects, _default(key.default), ", ".join(readers) or "no rule yet"])
    return table(["Key", "Meaning", "Value", "Default", "Read by"], rows)


def _default(value: Any) -> str:
    if value is None:
        return "not set"
    if value == {}:
        return "empty"
    if isinstance(value, Enum):
        return f"`{getattr(value, 'label', value.value)}`"
    if isinstance(value, tuple):
        return "`[]`" if not value else ", ".join(f"`{item}`" for item in value)
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def _options(command: str) -> str:
    """Options of a command, from click."""
    from mllint_bio.cli import group

    found = group.get_command(None, command)  # type: ignore[arg-type]
    assert found is not None
    rows = []
    for option in found.params:
        if option.param_type_name == "option":
            names = ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))
            rows.append([names, (getattr(option, "help", "") or "").replace("  [", " [")])
    return table(["Option", "Meaning"], rows)


def _file(path: str) -> str:
    """A file of the repository as a code block."""
    kind = {".py": "python", ".toml": "toml", ".yaml": "yaml"}[Path(path).suffix]
    return f"`{path}`:\n\n```{kind}\n{(ROOT / path).read_text(encoding='utf-8').rstrip()}\n```"


def _fields(_: str) -> str:
    rows = [
        [f"`{name}`", ", ".join(f"`{r}`" for r in roles) or "all", meaning] for name, (_, roles, meaning) in schema.FIELDS.items()
    ]
    return table(["Field", "Roles", "Meaning"], rows)


BLOCKS: dict[str, Callable[[str], str]] = {
    "settings": _settings,
    "study": _facts_of_the_study,
    "command": _options,
    "file": _file,
    "roles": lambda _: table(["Role", "Meaning"], [[f"`{name}`", meaning] for name, meaning in schema.ROLES.items()]),
    "operations": lambda _: table(
        ["Operation", "Meaning"], [[f"`{name}`", meaning] for name, meaning in schema.OPERATIONS.items()]
    ),
    "fields": _fields,
    "methods": lambda _: table(
        ["Field", "Meaning"], [[f"`{name}`", meaning] for name, (_, meaning) in schema.METHOD_FIELDS.items()]
    ),
}


def table(head: list[str], rows: Iterable[list[str]]) -> str:
    """A Markdown table."""
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


if __name__ == "__main__":
    sys.exit(main())
