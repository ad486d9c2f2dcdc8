"""MLB305."""

from __future__ import annotations

from collections.abc import Iterator

from mllint_bio.events import Determinism, Device, Event, Fit, Seed, Step
from mllint_bio.findings import Confidence, Finding, Severity
from mllint_bio.rule import Rule
from mllint_bio.trace import Trace

KERAS = frozenset({"keras", "tensorflow", "tf_keras"})
NETWORK_STREAMS = frozenset({"torch", "torch-cuda", "tensorflow", "jax", "any"})
TORCH_REMEDY = "Call `torch.use_deterministic_algorithms(True)` and set `torch.backends.cudnn.benchmark = False`."
KERAS_REMEDY = "Call `tf.config.experimental.enable_op_determinism()` after `tf.keras.utils.set_random_seed(SEED)`."


class CudaNondeterminismAllowed(Rule):
    """A network is trained on a GPU with non-deterministic kernels left enabled.

    ## What it does
    Reports, once per program, training of a network on a GPU (or by Keras, TensorFlow or a trainer, which take a
    GPU when there is one) when nothing asks for deterministic kernels: `torch.use_deterministic_algorithms`,
    `cudnn.deterministic`, `Trainer(deterministic=True)`, `enable_op_determinism` and the like. It is a warning
    where a seed shows that the author wants to reproduce the run, and information otherwise. `cudnn.benchmark =
    True` is reported at its own line.

    ## Why it is bad
    Several CUDA kernels add in the order in which threads arrive. Two runs with one seed drift apart, and after
    some epochs their models differ. The defaults allow it silently.

    ## Example
    ```python
    torch.manual_seed(0)
    net = GCN(num_node_features=78).to(torch.device("cuda"))
    for epoch in range(100):
        train_one_epoch(net, loader, optimizer)
    ```

    ## Use instead
    ```python
    torch.manual_seed(0)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    net = GCN(num_node_features=78).to(torch.device("cuda"))
    ```

    ## How a run confirms it
    Two runs on the GPU with one seed; the first step whose loss differs is reported, with the operation that has no
    deterministic kernel. No difference over the run refutes the finding.

    ## References
    Lee et al., tip 3 (names CUDA and cuDNN); PyTorch notes on reproducibility; TensorFlow, enable_op_determinism;
    DOME 2.8; REFORMS 2b, 2c, 2e.
    """

    code = "MLB305"
    name = "cuda-nondeterminism-allowed"
    tip = 3
    severity = Severity.WARNING
    confirmed_by = "cuda"
    programs_only = True
    skip_tests = True

    def check(self, trace: Trace) -> Iterator[Finding]:
        """One finding per entry point."""
        training = next((event for event in trace.of(Step, Fit) if _network(event)), None)
        statistical = trace.options.get("reproducibility") == "statistical"  # several seeds are reported instead
        if training is None or statistical or not trace.is_program or trace.fruitless or _requested(trace):
            return
        devices = [d for d in trace.of(Device) if d.device in ("cuda", "mps", "gpu")]
        here = [d for d in devices if trace.anchor(d).path == trace.path]
        device = next((d for d in here if d.module is not None), None) or next(iter(here or devices), None)
        benchmark = next((d for d in trace.of(Determinism) if d.flag == "cudnn-benchmark" and d.value), None)
        by_itself = isinstance(training, Fit) and not any(d.device == "cpu" for d in trace.of(Device))
        keras = bool(trace.imports & KERAS) and (by_itself or "torch" not in trace.imports)
        if device is None and benchmark is None and not by_itself and not keras:
            return
        seeds = [seed for seed in trace.of(Seed) if not seed.unseeds]
        sure = benchmark is not None or (device is not None and not device.conditional)
        seed = next((one for one in seeds if one.streams & NETWORK_STREAMS), next(iter(seeds), None))
        although = f", although `{seed.call}` is called" if seed else ""
        where = "on a GPU" if sure else "on a GPU if there is one"
        what = f"with kernels picked by timing (`{benchmark.call}`)" if benchmark else "without asking for deterministic kernels"
        yield self.finding(
            trace.anchor(benchmark or (device if here else None) or training),
            f"A network is trained {where} {what}: two runs may differ{although}.",
            evidence=[("device chosen here", device), ("trained here", training), ("seeded here", seed)],
            severity=Severity.WARNING if seed else Severity.INFO,
            confidence=Confidence.CERTAIN if sure else Confidence.LIKELY,
            remedy=KERAS_REMEDY if keras else TORCH_REMEDY,
        )


def _network(event: Event) -> bool:
    """Whether the event trains a network of a library that can use a GPU (scikit-learn's perceptrons cannot, nor what is told to
    stay on the CPU)."""
    if isinstance(event, Fit):
        if "cpu" in (
            event.subject.given.get("device_name"),
            event.subject.given.get("device"),
            event.subject.given.get("accelerator"),
        ):
            return False
        return event.subject.is_a("module", "trainer", "estimator.deep", "pretrained") and not event.subject.api.startswith(
            "sklearn."
        )
    return isinstance(event, Step)


def _requested(trace: Trace) -> bool:
    """Whether deterministic kernels are asked for, or may be: by a value from outside or by a helper out of reach."""
    flags = {d.flag for d in trace.of(Determinism) if d.value is not False}
    environment = {d.call for d in trace.of(Determinism) if d.flag == "env" and d.value is not False}
    return (
        bool(flags & {"all-ops", "cudnn-deterministic", "tf-ops"})
        or "any" in trace.seeded_streams
        or any("TF_" in call for call in environment)
    )
