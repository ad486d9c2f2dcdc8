"""MLB305: deterministic kernels are asked for at the start of the program."""

from __future__ import annotations

import ast

from mllint_bio.diagnostics import Diagnostic
from mllint_bio.findings import Edit
from mllint_bio.fix.edit import Remedy
from mllint_bio.fix.program import Program

_WANTED = {"torch.backends.cudnn.benchmark": "False", "torch.backends.cudnn.deterministic": "True"}


def remedy(program: Program, diagnostic: Diagnostic) -> Remedy:
    """The flags of the library that trains; statements of the program that set them otherwise are turned round."""
    if "enable_op_determinism" in diagnostic.remedy:
        return _tensorflow(program, diagnostic)
    torch, lines = program.importing("torch")
    os, more = program.importing("os")
    flags = [
        f'{os}.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")',  # read when cuBLAS starts, not at the import
        f"{torch}.backends.cudnn.benchmark = False",
        f"{torch}.backends.cudnn.deterministic = True",
        # An operation without a deterministic kernel is named in a warning; an error would end the run.
        f"{torch}.use_deterministic_algorithms(True, warn_only=True)",
    ]
    edits = [program.after_imports([*more, *lines, *flags]), *_turned(program)]
    return Remedy(diagnostic.code, "PyTorch is asked for deterministic kernels", tuple(edits), "repeat")


def _turned(program: Program) -> list[Edit]:
    edits = []
    for node in ast.walk(program.tree):
        if isinstance(node, ast.Assign) and len(node.targets) == 1:
            wanted = _WANTED.get(program.dotted(node.targets[0]))
            if wanted and isinstance(node.value, ast.Constant) and str(node.value.value) != wanted:
                edits.append(program.replace(node.value, wanted))
    return edits


def _tensorflow(program: Program, diagnostic: Diagnostic) -> Remedy:
    module, lines = program.importing("tensorflow", alias="tf")
    # Operations that draw fail under determinism when no seed is set.
    seeded = any("seeded here" in text for text, _ in diagnostic.evidence)
    calls = [*([] if seeded else [f"{module}.random.set_seed(0)"]), f"{module}.config.experimental.enable_op_determinism()"]
    edit = program.after_imports([*lines, *calls])
    return Remedy(diagnostic.code, "TensorFlow is asked for deterministic kernels", (edit,), "repeat")
