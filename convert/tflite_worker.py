"""The process in which the TFLite converter runs: it can take a process down, and takes no one else's.

`python -m edgepack.convert.tflite_worker` reads one folder a line on stdin, converts what lies there, writes
`model.tflite` beside it, and answers with one line of JSON: `{}` or `{"error": …}`.
"""

import os
import select
import sys
from pathlib import Path
from typing import Any, TextIO

import msgspec
import numpy as np

from edgepack.convert.precisions import find
from edgepack.quiet import import_tensorflow, quiet

_IDLE_SECONDS = 120.0  # then the memory is given back; the next request starts a new process


class Order(msgspec.Struct, frozen=True):
    """What to convert, beside `graph.pb` and, where ranges are calibrated, `calibration.npz`."""

    inputs: tuple[str, ...]
    """Names of the graph's inputs, in the model's order; arrays in `calibration.npz` are named by their position."""
    outputs: tuple[str, ...]
    precision: str


def serve(requests: TextIO, answers: TextIO) -> None:
    """Convert until `requests` ends, or nothing has been asked for a while."""
    import_tensorflow()
    while select.select([requests], [], [], _IDLE_SECONDS)[0] and (line := requests.readline()):
        answer = _answer(Path(line.strip()))
        answers.write(msgspec.json.encode(answer).decode() + "\n")
        answers.flush()


def _answer(folder: Path) -> dict[str, str]:
    with quiet() as held:
        try:
            (folder / "model.tflite").write_bytes(_convert(folder))
        except Exception as error:  # noqa: BLE001 - the converter raises what its passes raise
            return {"error": _reason(error, held())}
    return {}


def _convert(folder: Path) -> bytes:
    import tensorflow as tf

    order = msgspec.json.decode((folder / "order.json").read_bytes(), type=Order)
    converter = tf.lite.TFLiteConverter.from_concrete_functions([_function(folder / "graph.pb", order)])
    # Built-in operators alone: a file with Flex operators is refused by every light interpreter.
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS]
    find(order.precision).tflite(converter, _calibration(folder / "calibration.npz"))
    data: bytes = converter.convert()
    return data


def _function(path: Path, order: Order) -> Any:
    """The frozen graph as a function that the converter takes."""
    import tensorflow as tf

    definition = tf.compat.v1.GraphDef.FromString(path.read_bytes())
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    feeds, fetches = (
        [wrapped.graph.as_graph_element(name) for name in names] for names in (order.inputs, order.outputs)
    )
    return wrapped.prune(feeds, fetches)


def _calibration(path: Path) -> list[Any] | None:
    if not path.exists():
        return None
    with np.load(path, allow_pickle=False) as archive:
        return [archive[name] for name in sorted(archive.files, key=int)]


def _reason(error: Exception, log: str) -> str:
    """The converter's own reason on one line: its message, or the last error it printed."""
    text = " ".join(str(error).split())
    if "Flex" in text or "SELECT_TF_OPS" in text:
        start = text.find("TF Select ops:")
        return f"it needs operators that no light interpreter has ({text[max(start, 0) :][:200]})"
    printed = [line for line in log.splitlines() if "error:" in line.lower()]
    return (text or (printed[-1] if printed else type(error).__name__))[:400]


def main() -> int:
    """Serve the parent; what libraries print to stdout goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
