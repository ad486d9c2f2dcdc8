"""What `confirm` is asked for (`ConfirmOptions`), what it tells while it works (`Progress`), how it says that it cannot start."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from mllint_bio.config import Settings
from mllint_bio.observe.job import Limits, Permissions

# Names of the experiments, as in `--experiments`, in the order in which they are shown.
EXPERIMENTS = (
    "repeat",
    "seeded-repeat",
    "determinism",
    "counterfactual",
    "tuned-baseline",
    "class-balance",
    "test-reuse",
    "label-shuffle",
    "overlap",
)
DEVICES = ("auto", "cpu", "cuda")
EXECUTORS = ("local", "slurm", "dask")


class CannotStart(Exception):
    """The program cannot be run as asked; the message is one line for people. The command exits with status 2."""


@dataclass(frozen=True, slots=True)
class ConfirmOptions:
    """What one `confirm` may do and shall find out; the defaults are those of the command line.

    limits, permissions: of every run; device: auto, cpu or cuda; repeats: runs of one setting; budget: seconds of wall time for
    all experiments together; experiments: names out of `EXPERIMENTS`, empty for none, None for those that the findings ask for;
    executor: local, slurm or dask; jobs: runs at the same time (None: as many as the device bears); settings: which rules are
    asked, per-file ignores and project facts; keep: leave the scratch copies and say in the notes where they are; fresh: run
    again what is known from an earlier, interrupted or equal `confirm`.
    """

    limits: Limits = field(default_factory=Limits)
    permissions: Permissions = field(default_factory=Permissions)
    device: str = "auto"
    repeats: int = 5
    budget: float = 1800.0
    experiments: tuple[str, ...] | None = None
    executor: str = "local"
    jobs: int | None = None
    settings: Settings = field(default_factory=Settings)
    keep: bool = False
    fresh: bool = False


@dataclass(frozen=True, slots=True)
class Progress:
    """What goes on at this moment. phase: in plain words ("observing the program", "label shuffle"); run, runs: which run of how
    many (0: not known); seconds: since this run began; steps: optimizer steps so far (0: not known); loss: the latest one."""

    phase: str
    run: int = 0
    runs: int = 0
    seconds: float = 0.0
    steps: int = 0
    loss: float | None = None


Report = Callable[[Progress], None]
