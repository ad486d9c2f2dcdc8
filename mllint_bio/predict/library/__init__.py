"""What operations and library calls do to abstract values; the interpreter asks here, the catalog says what each name means.

`contents`, `notes` and `scoring` say what a value holds and what is known of its rows; `arithmetic`, `iteration`,
`growth`, `indexing`, `joining`, `operations` and `members` know rows and columns, `builtin` the functions of Python;
`subjects`, `seeding` and `devices` what calls construct, draw and move; `learners`, `splitters`, `cross_validation`,
`metrics` and `tuners` the protocol of scikit-learn, `networks`, `loaders` and `optimizers` that of torch; `choices`
loops, selections and reports; `calls` brings a call of a library name to the one that knows its role. At import none
needs a module that needs it.
"""

from mllint_bio.predict.library.arithmetic import binary, compare, negated, votes
from mllint_bio.predict.library.builtin import class_of
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
from mllint_bio.predict.library.choices import (
    after_assign,
    kept,
    loop_done,
    loop_kind,
    note_patience,
    patience_test,
    selection_test,
    statement,
    unrolled,
    varies_candidates,
)
from mllint_bio.predict.library.contents import absorb, blend, is_cut, objects_in, records, scores_of, shown, shown_of
from mllint_bio.predict.library.devices import device_if_any
from mllint_bio.predict.library.growth import coded, comprehended, extend, yielded
from mllint_bio.predict.library.indexing import subscript, with_content
from mllint_bio.predict.library.iteration import iterated, names_if_asked, piece, unpacked
from mllint_bio.predict.library.members import INDEXERS, array_attribute, value_method
from mllint_bio.predict.library.networks import (
    attached,
    base_init,
    born,
    built,
    class_role,
    forward,
    from_checkpoint,
    is_no_grad,
    own_step,
)
from mllint_bio.predict.library.scoring import as_figure, cell, counted, sorts, tallied, told_by_class, within_test

__all__ = [
    "INDEXERS",
    "absorb",
    "after_assign",
    "array_attribute",
    "as_figure",
    "attached",
    "base_init",
    "binary",
    "blend",
    "born",
    "built",
    "call",
    "cell",
    "class_of",
    "class_role",
    "coded",
    "compare",
    "comprehended",
    "counted",
    "device_if_any",
    "extend",
    "external_attribute",
    "forward",
    "from_checkpoint",
    "invoke",
    "is_cut",
    "is_no_grad",
    "iterated",
    "kept",
    "loop_done",
    "loop_kind",
    "names_if_asked",
    "negated",
    "note_patience",
    "object_attribute",
    "object_method",
    "objects_in",
    "own_step",
    "patience_test",
    "piece",
    "records",
    "scores_of",
    "selection_test",
    "set_flag",
    "shown",
    "shown_of",
    "sorts",
    "star_import",
    "statement",
    "subscript",
    "tallied",
    "told_by_class",
    "unknown_call",
    "unpacked",
    "unrolled",
    "value_method",
    "varies_candidates",
    "votes",
    "with_content",
    "within_test",
    "yielded",
]
