"""What operations and library calls do to abstract values; the interpreter asks here, the catalog says what each name means.

`arrays` knows rows and columns, `learners` estimators, transforms, splitters and metrics, `networks` modules, losses, optimizers and
loaders, `choices` loops, selections and reports, `calls` brings a call of a library name to the one that knows its role.
"""

from mllint_bio.predict.library.arrays import (
    absorb,
    array_attribute,
    binary,
    blend,
    compare,
    comprehended,
    extend,
    iterated,
    negated,
    objects_in,
    piece,
    scores_of,
    shown_of,
    subscript,
    unpacked,
    value_method,
    with_content,
)
from mllint_bio.predict.library.calls import (
    call,
    external_attribute,
    invoke,
    object_attribute,
    object_method,
    set_flag,
    star_import,
    unknown_call,
)
from mllint_bio.predict.library.choices import after_assign, kept, loop_done, loop_kind, selection_test, statement, unrolled
from mllint_bio.predict.library.networks import attached, base_init, born, built, class_role, forward, is_no_grad

__all__ = [
    "absorb",
    "after_assign",
    "array_attribute",
    "attached",
    "base_init",
    "binary",
    "blend",
    "born",
    "built",
    "call",
    "class_role",
    "compare",
    "comprehended",
    "extend",
    "external_attribute",
    "forward",
    "invoke",
    "is_no_grad",
    "iterated",
    "kept",
    "loop_done",
    "loop_kind",
    "negated",
    "object_attribute",
    "object_method",
    "objects_in",
    "piece",
    "scores_of",
    "selection_test",
    "set_flag",
    "shown_of",
    "star_import",
    "statement",
    "subscript",
    "unknown_call",
    "unpacked",
    "unrolled",
    "value_method",
    "with_content",
]
