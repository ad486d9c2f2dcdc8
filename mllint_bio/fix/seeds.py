"""MLB301, MLB302: seed calls behind the imports of the program."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable

from mllint_bio.diagnostics import Diagnostic
from mllint_bio.findings import Edit
from mllint_bio.fix import random_state
from mllint_bio.fix.edit import Remedy
from mllint_bio.fix.program import Program, Unsafe

_STREAM = re.compile(r"draws from the ([\w-]+) generator")
_WORDS = {"python": "Python's `random`", "numpy": "NumPy", "torch": "PyTorch", "torch-cuda": "CUDA", "tensorflow": "TensorFlow"}
_SEEDED_INSTEAD = {"torch.seed": "torch.manual_seed", "torch.random.seed": "torch.manual_seed"}


def remedy(program: Program, diagnostic: Diagnostic) -> Remedy:
    """Seeds for the generators that the finding names; a seed call without a constant gets one."""
    if diagnostic.variant == "n-jobs":
        return random_state.of_estimator(program, diagnostic)
    if any("a generator of its own" in text for text, _ in diagnostic.evidence):
        raise Unsafe("no call seeds a generator that the program makes itself")
    streams = list(dict.fromkeys(match[1] for text, _ in diagnostic.evidence for match in _STREAM.finditer(text)))
    edits = [seeding(program, streams)]
    for text, place in diagnostic.evidence:
        if "is no seed" in text and place.path == program.unit.path:
            edits.append(_constant(program, program.call(place.start, place.end)))
    words = [_WORDS[stream] for stream in streams]
    listed = " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words)
    return Remedy(diagnostic.code, f"{listed} is seeded once, behind the imports", tuple(edits), "repeat")


def seeding(program: Program, streams: Iterable[str]) -> Edit:
    """Seed calls for streams, with the imports that they need. Raises Unsafe for a stream that no such call seeds."""
    lines: list[str] = []
    calls: list[str] = []
    for stream in streams:
        imports, call = _seed(program, stream)
        lines += imports
        calls.append(call)
    if not calls:
        raise Unsafe("the finding names no generator")
    return program.after_imports(list(dict.fromkeys([*lines, *calls])))


def _seed(program: Program, stream: str) -> tuple[list[str], str]:
    if stream == "python":
        module, lines = program.importing("random")
        return lines, f"{module}.seed(0)"
    if stream == "numpy":
        module, lines = program.importing("numpy", alias="np")
        return lines, f"{module}.random.seed(0)"
    if stream == "torch":  # the CPU and all GPUs
        module, lines = program.importing("torch")
        return lines, f"{module}.manual_seed(0)"
    if stream == "torch-cuda":
        module, lines = program.importing("torch")
        return lines, f"{module}.cuda.manual_seed_all(0)"
    if stream == "tensorflow":
        keras = program.imported("tensorflow", "keras") or program.imported("keras")
        if program.imported("tensorflow") is None and keras is not None:
            return [], f"{keras}.utils.set_random_seed(0)"
        module, lines = program.importing("tensorflow", alias="tf")
        return lines, f"{module}.random.set_seed(0)"
    raise Unsafe(f"no call seeds the {stream} generator of a program")


def _constant(program: Program, call: ast.Call) -> Edit:
    """`np.random.seed()` and `torch.seed()` with a constant."""
    func = program.text(call.func)
    instead = _SEEDED_INSTEAD.get(program.dotted(call.func))
    if instead and isinstance(call.func, ast.Attribute):
        func = f"{program.text(call.func.value)}.manual_seed"
    elif instead:
        raise Unsafe("`torch.seed` is imported by name")
    return program.replace(call, f"{func}(0)")
