"""Offsets of sites, held to LibCST's own positions."""

from __future__ import annotations

import re
import textwrap

import libcst as cst
import pytest
from libcst.metadata import MetadataWrapper, PositionProvider

from mllint_bio.events import Site
from mllint_bio.predict import spans
from mllint_bio.predict.lower import Lowering
from mllint_bio.predict.skeleton import RUN_LINES, Skeleton, at_hand, read, syntax_problems
from mllint_bio.sources import SourceUnit, load_text

PROGRAMS = {
    "nested functions": """
        import numpy as np

        def outer(a, *rest, b=1, **more):
            def inner(c):
                return [x for x in (a, b, c) if x]  # comment
            return inner(a)(b)

        outer(1, 2, b=3)
        """,
    "decorators": """
        @first
        @second(argument, key="value")
        class Network(Base, metaclass=Meta):
            field: int = 0

            @property
            def size(self) -> int:
                return self.field

            @staticmethod
            async def load(path: str): await path.read()
        """,
    "strings over several lines": '''
        text = """first
          second {not} a field
        """
        shown = f"""{text!r:>10}
        {text.upper()} and {1 + 2}
        """
        after = (text
                 .strip()   # a comment in between
                 .lower())
        ''',
    "tabs": "if a:\n\tb = c(\n\t\td,\n\t\te,\n\t)\n\tif b:\n\t\tf(b)[0]\n\telse:\n\t\tg = lambda x, y=1: x\n",
    "windows line ends": "import a\r\nx = a.f(1,\r\n        2)\r\n\r\n"
    "def g(y):\r\n    '''doc\r\n    string'''\r\n    return y[1:2, ::3]\r\n",
    "several statements on a line": "a = 1; b = f(a); c = a if b else {b: a, **d}\nfor x in y: z(x); w(x)\n",
    "control flow": """
        try:
            with open(a) as b, c:
                while (n := f(b)) > 1: pass
        except (A, B) as error:
            raise C from error
        else:
            del a, b
        finally:
            assert a, "message"
        match command:
            case [first, *others] if first: go(first)
            case {"key": value}: go(value)
            case _: pass
        """,
    "parentheses": "x = ((a + (b)) * -c, [(d)], not e, {f for f in g}, (yield_ := 1))\ny = (f)((x))\n",
    "non-ASCII text": "données = 'é𝔘'; modèle = ajuster(données)\nprint('𝔘', modèle)\n",
    "no newline at the end": "a = f(b)",
}


def offsets(text: str, position: cst.metadata.CodeRange) -> tuple[int, int]:
    """A range of lines and columns as offsets."""
    starts = [0, *(match.end() for match in re.finditer(r"\r\n|\r|\n", text))]
    return starts[position.start.line - 1] + position.start.column, starts[position.end.line - 1] + position.end.column


def unit_of(program: str) -> SourceUnit:
    text = program if "\t" in program or "\r" in program else textwrap.dedent(program).lstrip("\n")
    return load_text(text, "main.py")


def sites(skeleton: Skeleton, origins: list[cst.CSTNode], number: int) -> list[Site]:
    return [Site(skeleton.unit.path, number, node) for node in range(len(origins))]


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_spans_are_those_of_the_position_provider(program: str) -> None:
    """Every node that the lowering numbers has LibCST's span, moved by the start of its chunk."""
    unit = unit_of(program)
    skeleton = read(unit)
    assert skeleton.chunks and not skeleton.problems
    for chunk in skeleton.chunks:
        wrapper = MetadataWrapper(cst.parse_module(chunk.text), unsafe_skip_copy=True)
        positions = wrapper.resolve(PositionProvider)
        origins: list[cst.CSTNode] = []
        Lowering(chunk.number, origins).module(wrapper.module)
        assert origins
        expected = [offsets(chunk.text, positions[node]) for node in origins]
        found = spans(unit, sites(skeleton, origins, chunk.number))
        moved = [(first - chunk.start, last - chunk.start) for first, last in found.values()]
        assert moved == expected


def test_spans_cut_out_the_expression() -> None:
    """The text between the offsets is the call itself, in whichever chunk it stands."""
    unit = unit_of("import a\n\n\n@d\ndef f(x):\n    return a.g( x,\n 1 )\n\n\ny = f(  2)\n")
    skeleton = read(unit)
    texts = set()
    for chunk in skeleton.chunks:
        origins: list[cst.CSTNode] = []
        Lowering(chunk.number, origins).module(cst.parse_module(chunk.text))
        calls = [site for site in sites(skeleton, origins, chunk.number) if isinstance(origins[site.node], cst.Call)]
        texts |= {unit.text[start:end] for start, end in spans(unit, calls).values()}
    assert texts == {"a.g( x,\n 1 )", "f(  2)"}


def test_unknown_sites_have_a_place() -> None:
    """A node or chunk that does not exist gives the first line, or the start of the file, not an error."""
    unit = unit_of("x = 1\ny = 2\n")
    missing, beyond = Site("main.py", 0, 999), Site("main.py", 99, 0)
    assert spans(unit, [missing, beyond]) == {missing: (0, 5), beyond: (0, 0)}


def test_long_runs_of_statements_are_cut() -> None:
    """A run of plain statements makes chunks of a bounded length, which together are the text."""
    text = "".join(f"x{n} = f({n})\n" for n in range(5 * RUN_LINES))
    chunks = read(load_text(text, "long.py")).chunks
    assert [chunk.text.count("\n") for chunk in chunks] == 5 * [RUN_LINES]
    assert "".join(chunk.text for chunk in chunks) == text


def test_skeleton_at_hand_is_the_one_in_use() -> None:
    """A unit is indexed once while its skeleton is held, and again when its text has changed."""
    skeleton = read(load_text("x = 1\n", "at_hand.py"))
    assert at_hand(load_text("x = 1\n", "at_hand.py")) is skeleton
    assert at_hand(load_text("x = 2\n", "at_hand.py")) is not skeleton


@pytest.mark.parametrize("text", ["return 1\n", "def f(a, a): pass\n", "nonlocal x\n", "await f()\n", "x: int = 1\nglobal x\n"])
def test_wrong_names_are_no_syntax_errors(text: str) -> None:
    """What parses is sound, even where Python would refuse its names; what does not parse is not."""
    assert syntax_problems(load_text(text, "names.py")) == []
    assert len(syntax_problems(load_text(text + "def f(:\n", "names.py"))) == 1
