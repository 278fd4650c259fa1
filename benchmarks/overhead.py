"""What a session costs: `session.run` against the same engine called by hand, in one run, rounds interleaved.

`python -m edgepack.benchmarks.overhead PACK` prints one JSON document.
"""

import statistics
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path

import msgspec

from edgepack.benchmarks.script import print_results
from edgepack.runtime.errors import InputError
from edgepack.runtime.loading import load
from edgepack.runtime.pack import Pack
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import measure


class Overhead(msgspec.Struct, frozen=True):
    """One variant: medians of the rounds' medians, one row, one thread."""

    variant: str
    engine: str
    session_us: float
    by_hand_us: float
    ratio: float
    """The median of the rounds' own ratios: what the machine does between rounds falls out."""


def measure_overhead(pack: Path, *, rounds: int = 60, laps: int = 100) -> tuple[Overhead, ...]:
    """Time every variant of a pack through a session and by hand.

    Args:
        pack: A pack with golden samples; their first row is what is run.
        rounds: How often the two take turns.
        laps: Calls in a turn, after five that are not counted.

    Raises:
        InputError: The pack holds no golden samples to run.
        PackError, MissingFileError: It cannot be read.
    """
    with Pack(pack) as opened:
        if not opened.manifest.goldens:
            raise InputError(f"{pack} holds no golden samples to run; build the pack again")
        golden, _ = opened.golden(opened.manifest.goldens[0])
        files = {variant.name: (variant.format, opened.read(variant.file)) for variant in opened.manifest.variants}
    feeds = {name: array[:1].copy() for name, array in golden.items()}
    return tuple(_compare(pack, name, *files[name], feeds, rounds, laps) for name in files)


def _compare(
    pack: Path, variant: str, file_format: str, data: bytes, feeds: dict[str, Array], rounds: int, laps: int
) -> Overhead:
    by_hand = BY_HAND[file_format](data, feeds)
    with load(pack, variant=variant, threads=1) as session:
        ours, theirs = [], []
        for _ in range(rounds):
            ours.append(measure(lambda: session.run(dict(feeds)), warmup=5, repeat=laps).p50_us)
            theirs.append(measure(by_hand, warmup=5, repeat=laps).p50_us)
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=True))
        engine = session.engine.description
    return Overhead(variant, engine, statistics.median(ours), statistics.median(theirs), ratio)


def _onnx_by_hand(data: bytes, feeds: Mapping[str, Array]) -> Callable[[], object]:
    """The plain idiom of ONNX Runtime's documentation."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])
    return lambda: session.run(None, dict(feeds))


def _tflite_by_hand(data: bytes, feeds: Mapping[str, Array]) -> Callable[[], object]:
    """The plain idiom of LiteRT's documentation."""
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_content=data, num_threads=1)
    interpreter.allocate_tensors()
    inputs = [(detail["index"], feeds[detail["name"]]) for detail in interpreter.get_input_details()]
    outputs = [detail["index"] for detail in interpreter.get_output_details()]

    def call() -> object:
        for index, array in inputs:
            interpreter.set_tensor(index, array)
        interpreter.invoke()
        return [interpreter.get_tensor(index) for index in outputs]

    return call


# format -> the engine that runs it, called by hand: takes the file and one row, gives the call
BY_HAND: dict[str, Callable[[bytes, Mapping[str, Array]], Callable[[], object]]] = {
    "onnx": _onnx_by_hand,
    "tflite": _tflite_by_hand,
}


def main(arguments: list[str]) -> int:
    """Measure the pack named on the command line."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m edgepack.benchmarks.overhead PACK\n")
        return 2
    return print_results(partial(measure_overhead, Path(arguments[0])))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
