"""What is run and how (`Job`), and what came of it (`Outcome`): the two sides of one observed run.

A job says everything that a run needs, so that it can be sent to another process or machine, and so that its content key names
its outcome: a finished run is never run twice. The parent side is `mllint_bio.observe.launch`, the child
`mllint_bio.observe.child`.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, field
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mllint_bio.observe.log import Log


@dataclass(frozen=True, slots=True)
class Command:
    """The program: a script, a module (`-m pkg.train`) or a notebook, as the user would start it.

    kind: script, module or notebook; target: path relative to `folder` (absolute if it lies outside), or the module's name;
    arguments: what follows it on the command line; folder: absolute working directory of the user; root: absolute folder
    that is copied into the scratch folder (the project that holds the program, `folder` or above it).
    """

    kind: str
    target: str
    arguments: tuple[str, ...]
    folder: str
    root: str

    def __str__(self) -> str:
        prefix = "-m " if self.kind == "module" else ""
        return " ".join([prefix + self.target, *self.arguments])


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one run. seconds: wall time; steps: optimizer steps after which training loops end; epochs: passes of a training
    loop after which it ends (the program goes on behind the loop); memory: bytes of address space beyond those at the start
    (None: no bound)."""

    seconds: float = 600.0
    steps: int | None = None
    epochs: int | None = None
    memory: int | None = None


@dataclass(frozen=True, slots=True)
class Permissions:
    """What the sandbox lets through. write: absolute folders that may be written; network: connections; processes: other
    programs may be started (forked workers of Python itself may always)."""

    write: tuple[str, ...] = ()
    network: bool = False
    processes: bool = False


@dataclass(frozen=True, slots=True)
class Controls:
    """What an experiment changes about a run; the default changes nothing.

    seed: seed every global generator before the program starts, make the program's own calls that unseed generators do
    nothing, and give `random_state=None` estimators and splitters a number; hash_seed: PYTHONHASHSEED (None: random, as usual);
    shuffle_labels: permute the training labels with this seed; deterministic: `torch.use_deterministic_algorithms(True,
    warn_only=True)`; threads: number of threads of BLAS and torch; device: `cpu` hides CUDA, `auto` changes nothing;
    fingerprints: record a hash of all parameters after every step; capture: save the arrays of fits and scores for experiments
    that retrain or recompute; edits: (path relative to `root`, new text) written into the scratch copy before the run.
    """

    seed: int | None = None
    hash_seed: int | None = None
    shuffle_labels: int | None = None
    deterministic: bool = False
    threads: int | None = None
    device: str = "auto"
    fingerprints: bool = False
    capture: bool = False
    edits: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class Guide:
    """What the static side tells the run (paths relative to `root`, lines 1-based in the unit's text).

    marks: statements whose execution is recorded, as (path, first line of the statement), because what they do leaves no call
    to observe (a comparison of scores, a hand-written accuracy); epochs and batches: `for` statements that are training
    loops, to which limits apply.
    """

    marks: tuple[tuple[str, int], ...] = ()
    epochs: tuple[tuple[str, int], ...] = ()
    batches: tuple[tuple[str, int], ...] = ()


@dataclass(frozen=True, slots=True)
class Job:
    """One run: the program, its bounds, what is changed about it, what is looked at. `repeat` tells equal runs apart."""

    command: Command
    limits: Limits = field(default_factory=Limits)
    permissions: Permissions = field(default_factory=Permissions)
    controls: Controls = field(default_factory=Controls)
    guide: Guide = field(default_factory=Guide)
    repeat: int = 0

    def key(self, content: str = "") -> str:
        """Content key of the outcome: a hash of everything above and of `content` (a hash of the project's files)."""
        text = json.dumps([asdict(self), content], sort_keys=True, default=str)
        return hashlib.sha256(text.encode()).hexdigest()[:24]


class Status(Enum):
    """How a run ended. Everything but FINISHED leaves a reason; what was observed until then counts."""

    FINISHED = "finished"
    FAILED = "failed"
    TIMEOUT = "timeout"
    MEMORY = "out of memory"
    KILLED = "killed"
    REFUSED = "refused"
    NOT_STARTED = "not started"


@dataclass(frozen=True, slots=True)
class Refusal:
    """Something that the sandbox did not let through, with the option that would. `what` is one line for people."""

    what: str
    option: str
    path: str = ""
    line: int = 0
    count: int = 1


@dataclass
class Outcome:
    """What came of a job.

    reason: one line, empty if the run finished; path, line: where in the user's code it ended, if it failed; exit_code: as the
    program would have given (0 finished); seconds: wall time of the program itself; log: what was observed; refusals: what the
    sandbox refused; output: tail of stdout and stderr (at most 20,000 characters); versions: Python and packages
    that the program imported; arrays: folder with captured arrays (`Controls.capture`), empty if none.
    """

    job: Job
    status: Status
    log: Log
    reason: str = ""
    path: str = ""
    line: int = 0
    exit_code: int | None = None
    seconds: float = 0.0
    refusals: tuple[Refusal, ...] = ()
    output: str = ""
    versions: dict[str, str] = field(default_factory=dict)
    arrays: str = ""

    @property
    def finished(self) -> bool:
        """Whether the program ran to its end."""
        return self.status is Status.FINISHED

    def folder(self) -> Path | None:
        """Folder of the captured arrays, if there are any."""
        return Path(self.arrays) if self.arrays else None
