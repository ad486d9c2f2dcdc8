"""MLB307."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Generator, Loader
from mllint_bio.findings import Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace


class RngCopiedIntoWorkers(Rule):
    """A generator object made in the parent process is used in `__getitem__`, so every loader worker replays its numbers.

    ## What it does
    Reports a `numpy.random.Generator`, `RandomState`, `random.Random` or `torch.Generator` that is made once (in
    `__init__` or at module level) and drawn from where samples are fetched, when the data set goes into a
    `DataLoader` with worker processes and no `worker_init_fn`. Not reported: no workers, a generator made inside
    `__getitem__`, validation and test data (fixed crops are often meant), MONAI loaders, which reseed their
    workers.

    ## Why it is bad
    Each worker gets a copy of the generator, and a fresh copy in every epoch. All workers draw the same
    augmentations, and epoch two repeats epoch one. Seeded or not makes no difference. The global generators do not
    have the problem: PyTorch seeds them in each worker.

    ## Example
    ```python
    class TileDataset(Dataset):
        def __init__(self, tiles):
            self.tiles, self.rng = tiles, np.random.default_rng(0)

        def __getitem__(self, i):
            return np.rot90(self.tiles[i], self.rng.integers(4)).copy()

    loader = DataLoader(TileDataset(tiles), batch_size=32, shuffle=True, num_workers=8)
    ```

    ## Use instead
    ```python
    def __getitem__(self, i):
        return np.rot90(self.tiles[i], int(torch.randint(4, ()))).copy()
    ```

    ## How a run confirms it
    The loader is iterated for two epochs and the augmented samples are hashed by worker and epoch; equal sequences
    confirm.

    ## References
    Lee et al., tips 1 and 3; PyTorch issue 5059 and pull request 56488; measured on PyTorch 2.15; DOME 2.7; REFORMS
    2b.
    """

    code = "MLB307"
    name = "rng-copied-into-workers"
    tip = 3
    severity = Severity.ERROR
    remedy = "Draw with `torch.randint` and the like, or reseed the generator in `worker_init_fn`."

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per generator object, where it is made."""
        made = {id(event.subject): event for event in trace.of(Generator) if event.place != "__getitem__"}
        seen = set()
        for loader in trace.of(Loader):
            workers, subject = loader.workers or 0, loader.subject
            excused = "worker_init_fn" in subject.arguments or subject.unknown_arguments or subject.api.startswith("monai.")
            if not workers or excused or loader.data.named_role in ("validation", "test"):
                continue
            for generator in loader.generators:
                origin = made.get(id(generator))
                if origin is None or origin.at in seen:
                    continue
                seen.add(origin.at)
                epochs = "" if subject.given.get("persistent_workers") else ", again in every epoch"
                who = f"each of the {workers} loader workers" if workers > 1 else "the loader worker"
                yield self.finding(
                    origin,
                    f"`{generator.name or generator.label}` is copied into {who}, which replays the same random numbers{epochs}.",
                    evidence=[("worker processes start here", loader)],
                )
