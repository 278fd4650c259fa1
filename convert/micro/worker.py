"""The process that tries a file, as `convert.micro.trying` asks: `python -m edgepack.convert.micro.worker FOLDER`."""

import os
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from edgepack.convert.micro.trying import Answer, Order
from edgepack.quiet import quiet
from edgepack.runtime.tensor import Array

_ALIGNMENT = 16
_PROBE_SECONDS = 60  # after which an arena is not enough: what is laid out over its end may run for ever


def main(folder: Path) -> int:
    """Answer the order in a folder; 0 whatever the answer is."""
    order = msgspec.json.decode((folder / "order.json").read_bytes(), type=Order)
    data = (folder / "model.tflite").read_bytes()
    feeds = [np.load(folder / f"input-{index}.npy", allow_pickle=False) for index in range(order.inputs)]
    answer = _tried(data, feeds, order, folder)
    (folder / "answer.json").write_bytes(msgspec.json.encode(answer))
    return 0


def _tried(data: bytes, feeds: list[Array], order: Order, folder: Path) -> Answer:
    first = [feed[0] for feed in feeds]
    if said := _refusal(data, order.most_arena_bytes, first, order.outputs):
        return Answer(said)
    arena = _smallest(lambda size: _is_enough(data, size, first, order.outputs), order.most_arena_bytes)
    micro, _ = _interpreter(data, arena)
    with quiet() as held:
        litert = _litert(data)
        found: list[list[Array]] = []
        end = time.perf_counter() + order.seconds
        for run in range(len(feeds[0])):
            if found and time.perf_counter() > end:
                break
            if order.keeps_state:
                micro, litert = _interpreter(data, arena)[0], _litert(data)
            rows = [feed[run] for feed in feeds]
            try:
                found.append([*_ask_micro(micro, rows, order.outputs), *_ask_litert(litert, rows)])
            except RuntimeError as error:
                return Answer(held().strip() or str(error))
    for index in range(order.outputs):
        np.save(folder / f"micro-{index}.npy", np.stack([outputs[index] for outputs in found]))
        np.save(folder / f"litert-{index}.npy", np.stack([outputs[order.outputs + index] for outputs in found]))
    return Answer("", arena, len(found))


def _interpreter(data: bytes, arena_bytes: int) -> tuple[Any, str]:
    """The interpreter of TFLite-Micro, and what it says where it does not start."""
    from tflite_micro.python.tflite_micro import runtime

    with quiet() as held:
        try:
            return runtime.Interpreter.from_bytes(data, arena_size=arena_bytes), ""
        except RuntimeError as error:
            return None, held().strip() or str(error)


def _refusal(data: bytes, arena_bytes: int, rows: list[Array], outputs: int) -> str:
    """What the interpreter says where it does not run a sample in this arena; empty where it does."""
    micro, said = _interpreter(data, arena_bytes)
    if said:
        return said
    with quiet() as held:
        try:
            _ask_micro(micro, rows, outputs)
        except RuntimeError as error:
            return held().strip() or str(error)
    return ""


def _is_enough(data: bytes, arena_bytes: int, rows: list[Array], outputs: int) -> bool:
    """Whether a sample runs in this arena, tried in a child: some that are too small crash TFLite-Micro.

    Its kernels do not look whether they were given the memory that they ask for while they are laid out.
    """
    child = os.fork()
    if child == 0:
        code = 1
        try:
            signal.alarm(_PROBE_SECONDS)
            code = int(bool(_refusal(data, arena_bytes, rows, outputs)))
        finally:
            os._exit(code)
    return os.waitpid(child, 0)[1] == 0


def _smallest(enough: Callable[[int], bool], most: int) -> int:
    """The smallest multiple of 16 that is enough, by bisection; `most` is known to be."""
    low, high = 0, most // _ALIGNMENT
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if enough(middle * _ALIGNMENT) else (middle, high)
    return high * _ALIGNMENT


def _ask_micro(interpreter: Any, rows: list[Array], outputs: int) -> list[Array]:
    interpreter.reset()  # no sample may see what another left behind
    for index, row in enumerate(rows):
        interpreter.set_input(row, index)
    interpreter.invoke()
    return [np.array(interpreter.get_output(index)) for index in range(outputs)]


def _litert(data: bytes) -> Any:
    """LiteRT with the kernels that TFLite-Micro's were made from, and no delegate."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    interpreter = Interpreter(
        model_content=data, num_threads=1, experimental_op_resolver_type=OpResolverType.BUILTIN_REF
    )
    interpreter.allocate_tensors()
    return interpreter


def _ask_litert(interpreter: Any, rows: list[Array]) -> list[Array]:
    interpreter.reset_all_variables()
    for detail, row in zip(interpreter.get_input_details(), rows, strict=True):
        interpreter.set_tensor(detail["index"], row)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
