"""The documentation agrees with the code that it is taken from, and its links lead somewhere."""

from __future__ import annotations

import re
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType

import pytest

import mllint_bio_rules
from mllint_bio.diagnostics import DOCS, ENGINE_CODES, rule_url
from mllint_bio.rule import rules_of

FOLDER = Path(__file__).parents[2] / "docs"
PAGES = [FOLDER.parent / "README.md", *sorted(FOLDER.rglob("*.md"))]
CODE = re.compile(r"^```.*?^```|`[^`\n]*`", re.DOTALL | re.MULTILINE)
LINK = re.compile(r"\]\((?P<target>[^)\s#:]*)(?:#(?P<anchor>[^)\s]*))?\)")


@pytest.fixture(scope="module")
def generator() -> ModuleType:
    """docs/generate.py, which is no part of the package."""
    spec = spec_from_file_location("generate", FOLDER / "generate.py")
    assert spec is not None and spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_generated_text_is_up_to_date(generator: ModuleType) -> None:
    """What `python docs/generate.py` would write is what is committed."""
    stale = [
        path.relative_to(FOLDER).as_posix()
        for path, text in generator.pages().items()
        if not path.is_file() or path.read_text(encoding="utf-8") != text
    ]
    assert stale == [], "run `python docs/generate.py`"


def test_no_page_without_a_rule(generator: ModuleType) -> None:
    """A rule that is renamed or removed leaves no page behind."""
    assert {path for path in (FOLDER / "rules").iterdir() if path not in generator.pages()} == set()


def test_address_of_every_rule_leads_to_its_page() -> None:
    """The address that a finding carries ends in the name of a page, in the form in which the site names it."""
    known = [(rule.code, rule.name) for rule in rules_of(mllint_bio_rules)] + [(c.code, c.name) for c in ENGINE_CODES.values()]
    for code, name in known:
        page = FOLDER / "rules" / rule_url(code, name).removeprefix(DOCS).replace(".html", ".md")
        assert page.read_text(encoding="utf-8").startswith(f"# {code} {name}\n")
    assert "use_directory_urls: false" in (FOLDER.parent / "mkdocs.yml").read_text(encoding="utf-8")


def test_a_generated_part_that_nobody_writes_is_an_error(generator: ModuleType) -> None:
    """A misspelt name of a part does not stay empty in silence."""
    with pytest.raises(KeyError):
        generator.filled("<!-- generated: setings -->\n<!-- end -->")


def test_a_generated_part_is_replaced_and_the_rest_is_kept(generator: ModuleType) -> None:
    """Text around a part is the author's."""
    text = "before\n<!-- generated: operations -->\nstale text\n<!-- end -->\nafter\n"
    new = generator.filled(text)
    assert new.startswith("before\n") and new.endswith("<!-- end -->\nafter\n") and "stale text" not in new
    assert "| `keep` |" in new


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.relative_to(FOLDER.parent).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """Every relative link names a file or folder of the repository and, if it has one, a heading in it."""
    broken = []
    for match in LINK.finditer(CODE.sub("", page.read_text(encoding="utf-8"))):
        target = page.parent / match["target"] if match["target"] else page
        if not target.exists() or (match["anchor"] and match["anchor"] not in _anchors(target)):
            broken.append(match[0])
    assert broken == []


def _anchors(page: Path) -> set[str]:
    """Anchors of the headings of a page, as Git hosts and MkDocs make them."""
    headings = re.findall(r"^#+ (.+)$", CODE.sub("", page.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}
