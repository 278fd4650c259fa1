"""The judge of one conversion: it trusts nothing that converting said.

It opens the written pack in its light engine, runs inputs that converting never saw on several batch sizes, and
compares with the Keras model.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from edgepack.runtime.errors import one_line
from edgepack.runtime.tensor import Array

RIGHT, REFUSED, WRONG, CRASH, NO_ENGINE, BROKEN = "right", "refused", "wrong", "crash", "no-light-engine", "broken-case"

_FIRST_SEED = 1_000  # apart from the seed of the samples that converting is given
_SMALLEST = 1e-3  # magnitude of an output that a distance is relative to


class Case(Protocol):
    """One model that is converted; a module of cases has a sequence `CASES` of these."""

    @property
    def id(self) -> str:
        """A name of its own."""

    @property
    def layer(self) -> str:
        """The public Keras layer it is about."""

    @property
    def tolerance(self) -> float:
        """The largest difference allowed, relative to the largest magnitude of an output."""

    @property
    def batches(self) -> Sequence[int]:
        """The numbers of rows that are run, one after the other."""

    @property
    def options(self) -> Mapping[str, Any]:
        """More arguments of `convert_model`."""

    def build(self) -> Any:
        """The `keras.Model`."""

    def sample(self, rng: np.random.Generator, rows: int) -> dict[str, Array]:
        """Inputs by name."""


def judge(case: Case, file_format: str, folder: Path) -> dict[str, Any]:
    """Convert one case to one format and hold the file against Keras.

    Args:
        case: What is converted.
        file_format: `"tflite"` or `"onnx"`.
        folder: An empty folder for what is written.

    Returns:
        The fields `verdict`, `reason`, `how` and `worst` of an outcome, as far as there are any.
    """
    from edgepack.convert import convert_model
    from edgepack.quiet import import_keras
    from edgepack.runtime.errors import EdgepackError

    import_keras("judges conversions", "convert")
    try:
        model = case.build()
        _Keras(model).predict(case.sample(np.random.default_rng(_FIRST_SEED), case.batches[0]))
        seen = case.sample(np.random.default_rng(0), case.batches[-1])
    except Exception as error:  # noqa: BLE001 - Keras itself cannot run it
        return {"verdict": BROKEN, "reason": f"Keras: {one_line(error, 600)}"}
    try:
        report = convert_model(
            model, f"{folder}/pack/", targets=(file_format,), precisions=("float32",), evaluation=seen, **case.options
        )
    except EdgepackError as error:
        return {"verdict": REFUSED, "reason": _plain_reason(error, file_format)}
    except Exception as error:  # noqa: BLE001 - whatever a converter raised past edgepack's own errors
        return {"verdict": CRASH, "reason": f"{type(error).__name__}: {one_line(error, 600)}"}
    return {"how": _how(report, file_format), **_compare(case, model, folder / "pack", file_format)}


def _compare(case: Case, model: Any, pack: Path, file_format: str) -> dict[str, Any]:
    """Run the written file on inputs it never saw; the facts of the outcome."""
    import edgepack
    from edgepack.runtime.errors import EdgepackError

    custom = [name for path in pack.rglob("*.tflite") for name in _custom_operators(path.read_bytes())]
    if custom:
        return {"verdict": WRONG, "reason": f"the file holds operators that are not built in: {', '.join(custom)}"}
    try:
        session = edgepack.load(pack, variant=f"{file_format}-float32", threads=1)
    except EdgepackError as error:
        return {"verdict": NO_ENGINE, "reason": one_line(error, 600)}
    worst, where = 0.0, ""
    keras = _Keras(model)
    for index, rows in enumerate(case.batches):
        inputs = case.sample(np.random.default_rng(_FIRST_SEED + index), rows)
        try:
            got = _run(session, inputs, rows)
        except Exception as error:  # noqa: BLE001 - a file that was called right must run
            return {"verdict": WRONG, "reason": f"{rows} rows: {type(error).__name__}: {one_line(error, 600)}"}
        distance = _distance(keras.predict(inputs), got)
        if not distance <= case.tolerance:
            distance = min(distance, _distance(keras.call(inputs), got))
        if not distance <= worst:
            worst, where = distance, f"{rows} rows: shapes {[array.shape for array in got]}"
    if worst <= case.tolerance:
        return {"verdict": RIGHT, "worst": worst}
    return {"verdict": WRONG, "worst": worst, "reason": f"differs by {worst:.3g} of the largest value, {where}"}


class _Keras:
    """The model's own answers.

    `predict` is the reference: compiled into a graph, as `model.predict` runs it. In Keras 3.15 some layers answer
    differently when called eagerly (channels_first biases, Resizing of uint8, TimeDistributed of free length); a file
    that agrees with either of them is not wrong.
    """

    def __init__(self, model: Any) -> None:
        import tensorflow as tf

        self._model = model
        # Each shape is traced by itself: some layers cannot be traced for free axes.
        self._graph = tf.function(lambda tensors: model(tensors, training=False))

    def predict(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Outputs in flat order, from the graph."""
        self._forget()
        return self._flat(self._graph(self._tensors(inputs)))

    def call(self, inputs: Mapping[str, Array]) -> list[Array]:
        """Outputs in flat order, computed eagerly."""
        self._forget()
        return self._flat(self._model(self._tensors(inputs), training=False))

    def _forget(self) -> None:
        for layer in self._model._flatten_layers():
            if getattr(layer, "stateful", False) is True and hasattr(layer, "reset_state"):
                layer.reset_state()

    def _flat(self, outputs: Any) -> list[Array]:
        import keras

        return [np.asarray(output) for output in keras.tree.flatten(outputs)]

    def _tensors(self, inputs: Mapping[str, Array]) -> list[Any]:
        import tensorflow as tf

        arrays = [inputs[tensor.name] for tensor in self._model.inputs]
        return [
            tf.constant(array.tolist(), tf.string) if array.dtype.kind == "O" else tf.constant(array)
            for array in arrays
        ]


def _distance(wanted: Sequence[Array], got: Sequence[Array]) -> float:
    """The largest distance of any output; infinite where their number differs."""
    if len(wanted) != len(got):
        return float("inf")
    return max((relative_distance(*pair) for pair in zip(wanted, got, strict=True)), default=0.0)


def relative_distance(wanted: Array, got: Array) -> float:
    """The largest difference over the largest magnitude of `wanted`; infinite for other shapes, NaN, and texts.

    Magnitudes count as no less than a thousandth: what comes before an output is of the order of one, so that its last
    place in float32 (1e-7) is in every output, however small.
    Whole numbers and booleans must be equal: any difference among them counts as at least 1.
    """
    if wanted.shape != got.shape:
        return float("inf")
    if wanted.dtype.kind in "OUS":
        same = [_text(value) for value in wanted.flat] == [_text(value) for value in got.flat]
        return 0.0 if same else float("inf")
    kind = np.complex128 if "c" in (wanted.dtype.kind, got.dtype.kind) else np.float64
    reference, result = wanted.astype(kind), got.astype(kind)
    if not np.isfinite(result).all() or not np.isfinite(reference).all():
        return 0.0 if np.array_equal(reference, result) else float("inf")
    difference = float(np.abs(result - reference).max(initial=0.0))
    distance = difference / max(_SMALLEST, float(np.abs(reference).max(initial=0.0)))
    return max(1.0, distance) if difference and wanted.dtype.kind in "biu" else distance


def _run(session: Any, inputs: Mapping[str, Array], rows: int) -> list[Array]:
    """The file's outputs in order: tensors where it takes tensors, raw samples where steps come first."""
    names = [spec.name for spec in session.outputs]
    if session.manifest is None or not session.manifest.steps.inputs:
        results = session.run(dict(inputs))
        return [np.asarray(results[name]) for name in names]
    samples = [{name: array[row] for name, array in inputs.items()} for row in range(rows)]
    answers = session.predict(samples if len(inputs) > 1 else [next(iter(one.values())) for one in samples])
    return [np.stack([np.asarray(one[name] if isinstance(one, dict) else one) for one in answers]) for name in names]


def _custom_operators(data: bytes) -> list[str]:
    """Names of the operators of a TFLite file that are not built in, Flex operators among them."""
    from ai_edge_litert import schema_py_generated as schema

    codes = schema.ModelT.InitFromPackedBuf(data, 0).operatorCodes
    return [code.customCode.decode() for code in codes if code.customCode]


def _how(report: Any, file_format: str) -> str:
    """How the file came to be: as is, lowered, or lifted."""
    if report.provenance.get("lifted"):
        return "lifted"
    notes = [note for note in report.notes if note.startswith(f"{file_format}: ")]
    return "lowered" if any("no layer was lowered" not in note and "kept as" not in note for note in notes) else "as is"


def _plain_reason(error: Exception, file_format: str) -> str:
    """The reason of a refusal without the words that all refusals share."""
    return one_line(error, 600).split(f"nothing was written: {file_format}-float32: ", 1)[-1]


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
