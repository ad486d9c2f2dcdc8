"""What `confirm` concluded, as a page."""

from __future__ import annotations

import json
import math
import re
import shutil
import subprocess
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import pytest

from mllint_bio.diagnostics import Units
from mllint_bio.experiments.results import Confirmation, Judgement, Plot, Result, Series, Table, Verdict
from mllint_bio.judge import place
from mllint_bio.render.confirmation_html import confirmation_html
from mllint_bio.sources import load_text
from tests.render.confirmation_samples import LEAK, sample, units

VOID = {"meta", "br", "hr", "img", "input", "link"}
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "</code></pre></style></title><script>document.title='run'</script><img src=x onerror=document.title='run'>&\"'"


class Page(HTMLParser):
    """Reads a page and insists that every element is closed in order."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        """All text of the page, blanks collapsed."""
        return " ".join("".join(self.words).split())


def evil() -> Confirmation:
    """A confirmation in which every text is an attack."""
    unit = load_text(f"x = {EVIL!r}\n", "evil.py")
    finding = replace(LEAK, message=EVIL, name=EVIL, remedy=EVIL, place=place(unit, 0, 9), evidence=((EVIL, place(unit, 4, 12)),))
    finding = replace(finding, url="javascript:document.title='run'")
    plots = tuple(
        Plot(kind, EVIL, EVIL, EVIL, (Series(EVIL, (1.0, 2.0), labels=(EVIL, EVIL)),), ((1.0, 2.0),), (EVIL,), 1.0, EVIL)
        for kind in ("curves", "interval", "bars", "matrix", "histogram")
    )
    table = Table(EVIL, (EVIL,), ((EVIL,),))
    results = (
        Result("x", EVIL, "done", EVIL, figures={EVIL: EVIL}, tables=(table,), plots=plots, code=EVIL, place=EVIL),
        Result("y", EVIL, "failed", reason=EVIL),
    )
    return Confirmation(
        EVIL, "failed", EVIL, judgements=(Judgement(finding, Verdict.CONFIRMED, EVIL, {EVIL: [EVIL]}, EVIL),), results=results,
        refusals=(EVIL,), environment={EVIL: EVIL}, scores=((EVIL, math.nan, EVIL, None),), notes=(EVIL,),
    )  # fmt: skip


def evil_units() -> Units:
    """The program of `evil`."""
    return Units({"evil.py": load_text(f"x = {EVIL!r}\n", "evil.py")})


def test_page_holds_every_part() -> None:
    """Verdicts, figures, effects, excerpts, experiments, refusals, notes and the environment stand on the page."""
    page = Page(confirmation_html(sample(), units()))
    for part in (
        "2confirmedthe fault happened in the run",
        "StandardScaler.fit saw 569 rows, 114 of them are the rows scored at line 13.",
        "(difference −0.018, 95 % interval −0.035 to −0.004)",
        "X_train, X_test, y_train, y_test = train_test_split(X, y, test_size=0.2)",
        "Why not: The question needs a CUDA device; this machine has none.",
        "Logistic regression, tuned with the same number of trials",
        "the budget of 1800 s was used up",
        "--allow-write /data",
        "3 confidence intervals computed",
        "scikit-learn1.5.1",
    ):
        assert part in page.text
    assert sum(tag == "svg" for tag, _ in page.elements) == 5


def test_every_finding_of_the_summary_leads_to_its_details() -> None:
    """Links of the table at the top have their targets, and ids are unique."""
    page = Page(confirmation_html(sample(), units()))
    ids = [attributes["id"] for _, attributes in page.elements if "id" in attributes]
    links = [(a.get("href") or "")[1:] for tag, a in page.elements if tag == "a" and (a.get("href") or "").startswith("#")]
    assert len(ids) == len(set(ids)) and len(links) == 5 and set(links) <= set(ids)


@pytest.mark.parametrize(
    "text", [confirmation_html(sample(), units()), confirmation_html(evil(), evil_units())], ids=["sample", "evil"]
)
def test_nothing_is_fetched_and_nothing_is_run(text: str) -> None:
    """No script, no handler, no resource; the only outward addresses are links to rule pages, and a policy forbids the rest."""
    page = Page(text)
    assert {tag for tag, _ in page.elements}.isdisjoint({"script", "img", "link", "iframe", "object", "embed", "base", "form"})
    for tag, attributes in page.elements:
        assert not [name for name in attributes if name.startswith("on") or name in ("src", "srcset", "style", "background")]
        href = attributes.get("href")
        assert href is None or (tag == "a" and href.startswith(("#", "https://mllint-bio.readthedocs.io/")))
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.DOTALL))
    assert "url(" not in style and "@import" not in style
    policies = [a.get("content") for _, a in page.elements if a.get("http-equiv") == "Content-Security-Policy"]
    assert policies == ["default-src 'none'; style-src 'unsafe-inline'"]


def test_code_of_the_user_is_shown_as_it_is() -> None:
    """Markup in messages and sources is text on the page."""
    page = Page(confirmation_html(evil(), evil_units()))
    assert page.text.count("<script>document.title='run'</script>") > 20


def test_tables_and_plots_are_accessible() -> None:
    """Headers name their columns, plots have a name and a description, the page has a language, a title and one main heading."""
    text = confirmation_html(sample(), units())
    page = Page(text)
    headers = [attributes for tag, attributes in page.elements if tag == "th"]
    assert headers and all(attributes.get("scope") == "col" for attributes in headers)
    for tag, attributes in page.elements:
        if tag == "svg":
            assert attributes["role"] == "img" and len((attributes["aria-labelledby"] or "").split()) == 2
    assert ("html", {"lang": "en"}) in page.elements
    assert [tag for tag, _ in page.elements].count("h1") == 1
    assert "<title>mllint-bio confirm train.py</title>" in text


def test_without_findings_the_page_says_so() -> None:
    """A clean run has a page, too."""
    assert "No finding, before the run or in it." in Page(confirmation_html(Confirmation("p", "finished"))).text


def test_notebook_cells_are_named() -> None:
    """Evidence in another cell stands below that cell's name."""
    from tests.render.samples import report

    found = report()
    whole = Confirmation("nb.ipynb", "finished", judgements=(Judgement(found.diagnostics[0], Verdict.CONFIRMED, "f"),))
    text = Page(confirmation_html(whole, found.units)).text
    assert "nb.ipynb:cell 3:3:1" in text and "train.py" in text and "clf.score(X, y)" in text


# -- in a browser --------------------------------------------------------------------------------------------------------

PROBE = """<script>
addEventListener("load", () => {
  const wide = [...document.querySelectorAll("body *")].filter(e => !e.closest("pre,.scroll,svg,.summary thead")
    && e.getBoundingClientRect().right > document.documentElement.clientWidth + 1).map(e => e.outerHTML.slice(0, 200));
  const touching = [];
  for (const svg of document.querySelectorAll("svg")) {
    const texts = [...svg.querySelectorAll("text")].filter(e => e.textContent);
    const boxes = texts.map(e => [e.textContent, e.getBoundingClientRect()]);
    boxes.forEach(([a, p], i) => boxes.slice(i + 1).forEach(([b, q]) => {
      const deep = Math.min(p.bottom, q.bottom) - Math.max(p.top, q.top);
      const far = Math.min(p.right, q.right) - Math.max(p.left, q.left);
      if (far > 1 && deep > Math.min(p.height, q.height) * 0.4) touching.push(a + " | " + b);
    }));
  }
  document.body.replaceChildren(JSON.stringify({wide, touching, title: document.title}));
});
</script>"""


FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--enable-logging=stderr",
    "--timeout=20000",
    "--dump-dom",
]


def browse(page: Path, folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """Open a page in headless Chromium and print its document."""
    assert CHROMIUM is not None
    profile = folder / "profile"
    profile.mkdir(exist_ok=True)
    command = [CHROMIUM, *FLAGS, f"--user-data-dir={profile}", *options, page.as_uri()]
    try:
        return subprocess.run(command, capture_output=True, text=True, check=True, timeout=90)
    except (subprocess.TimeoutExpired, subprocess.CalledProcessError) as error:
        pytest.skip(f"Chromium does not run here: {error}")


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
@pytest.mark.parametrize("width", [1200, 500])
def test_in_a_browser_nothing_overflows_and_no_labels_overlap(tmp_path: Path, width: int) -> None:
    """Laid out for real, no element reaches beyond the window and no two labels of a plot cover each other."""
    text = confirmation_html(sample(), units())
    probed = re.sub(r"<meta http-equiv[^>]*>", "", text).replace("</body>", PROBE + "</body>")
    (tmp_path / "page.html").write_text(probed, encoding="utf-8")
    shown = browse(tmp_path / "page.html", tmp_path, f"--window-size={width},900").stdout
    body = re.search(r"<body>(.*?)</body>", shown, re.DOTALL)
    assert body is not None
    assert json.loads(unescape(body[1])) == {"wide": [], "touching": [], "title": "mllint-bio confirm train.py"}


@pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
def test_in_a_browser_code_of_the_user_does_not_run(tmp_path: Path) -> None:
    """No attack changes the document, and the console stays empty."""
    (tmp_path / "page.html").write_text(confirmation_html(evil(), evil_units()), encoding="utf-8")
    result = browse(tmp_path / "page.html", tmp_path)
    assert "<title>mllint-bio confirm" in result.stdout and "<title>run</title>" not in result.stdout
    assert "CONSOLE" not in result.stderr
