"""Try a file in TFLite-Micro's interpreter, from outside: a process of its own runs it, for it may crash."""

import io
import re
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np

from edgepack.runtime.errors import ConvertError
from edgepack.runtime.tensor import Array

_SECONDS = 300.0  # for a model that microcontrollers can run, this is far too long

_NO_KERNEL = re.compile(r"Didn't find op for builtin opcode '(\w+)'")
_REFUSED = re.compile(r"Node (\w+) \(number (\d+)\w*\) failed to (\w+)")
_SMALL = re.compile(r"missing: \d+|failed to resize buffer|failed to allocate (tail |temp )?memory", re.IGNORECASE)


class Order(msgspec.Struct, frozen=True):
    """What the process is asked for; `model.tflite` and `input-0.npy` and so on lie beside it."""

    inputs: int
    outputs: int
    most_arena_bytes: int
    seconds: float
    """After which no further sample is begun."""
    keeps_state: bool
    """Whether it has variables that nothing but a new interpreter resets."""


class Answer(msgspec.Struct, frozen=True):
    """What it found; `micro-0.npy` and `litert-0.npy` and so on lie beside it, `(runs, …)` as the file stores them."""

    said: str
    """What the interpreter printed when it refused the file; empty where it runs."""
    arena_bytes: int = 0
    runs: int = 0


@dataclass(frozen=True, slots=True)
class Tried:
    """A file that runs."""

    arena_bytes: int
    """The smallest arena that it runs in."""
    micro: tuple[Array, ...]
    """Its outputs, `(runs, …)`, as the file stores them."""
    litert: tuple[Array, ...]
    """The outputs of LiteRT's reference kernels on the same samples."""


def try_out(
    data: bytes,
    feeds: Sequence[Array],
    outputs: int,
    *,
    keeps_state: bool = False,
    most_arena_bytes: int = 64 << 20,
    seconds: float = 30.0,
    command: Sequence[str] = (sys.executable, "-m", "edgepack.convert.micro.worker"),
) -> Tried:
    """Run samples in the smallest arena that is enough, and in LiteRT.

    Args:
        data: The TFLite file.
        feeds: For each input in the file's order `(runs, …)`, as the file stores it.
        outputs: How many outputs there are.
        keeps_state: Whether it has resource variables, which nothing but a new interpreter resets.
        most_arena_bytes: What no microcontroller has.
        seconds: After which no further sample is begun; one is run in any case.
        command: What is started; it takes a folder, and speaks as `convert.micro.worker` does.

    Raises:
        ConvertError: The interpreter refuses the file; the message names the operator.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "model.tflite").write_bytes(data)
        for index, array in enumerate(feeds):
            np.save(folder / f"input-{index}.npy", array, allow_pickle=False)
        order = Order(len(feeds), outputs, most_arena_bytes, seconds, keeps_state)
        (folder / "order.json").write_bytes(msgspec.json.encode(order))
        _run([*command, name])
        answer = msgspec.json.decode((folder / "answer.json").read_bytes(), type=Answer)
        if answer.said:
            raise ConvertError(_reason(answer.said, most_arena_bytes))
        return Tried(answer.arena_bytes, _arrays(folder, "micro", outputs), _arrays(folder, "litert", outputs))


def _run(command: Sequence[str]) -> None:
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=_SECONDS, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ConvertError(
            f"TFLite-Micro did not answer within {_SECONDS:g} seconds: the model is too large"
        ) from error
    if done.returncode:
        code = done.returncode
        how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
        last = done.stderr.strip().rpartition("\n")[2][:300]
        raise ConvertError(f"TFLite-Micro crashed on the model ({how}){f': {last}' if last else ''}")


def _arrays(folder: Path, kind: str, count: int) -> tuple[Array, ...]:
    files = ((folder / f"{kind}-{index}.npy").read_bytes() for index in range(count))
    return tuple(np.load(io.BytesIO(content), allow_pickle=False) for content in files)


def _reason(said: str, most_arena_bytes: int) -> str:
    """Why the interpreter refuses the file, from what it printed."""
    lines = [line for line in map(str.strip, said.splitlines()) if line]
    if found := _NO_KERNEL.search(said):
        return f"TFLite-Micro has no kernel for {found[1]}: replace the layer that became it"
    if _SMALL.search(said):
        return f"the model needs an arena of more than {most_arena_bytes:,} bytes, which no microcontroller has"
    for at, line in enumerate(lines):
        if found := _REFUSED.search(line):
            why = f": {_without_place(lines[at - 1])}" if at else ""
            return f"TFLite-Micro's kernel of {found[1]} refuses operator {found[2]} ({found[3]}){why}"
    return f"TFLite-Micro refuses the model: {' '.join(lines)[:300]}"


def _without_place(line: str) -> str:
    """A message without the source file it comes from."""
    return re.sub(r"^\S+\.(cc|h):?\d* ", "", line)
