"""What a server takes: of the disk as pip installed it, of time until it answers, and of memory while it idles.

`python -m edgepack.benchmarks.serving_footprint PACK --python /path/to/venv/bin/python` prints one JSON document. The
interpreter is that of an environment made for it: `pip install 'edgepack-….whl[serve,onnx]'`. Without `--python` it
measures the environment it runs in.
"""

import argparse
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgepack.benchmarks.script import print_results
from edgepack.benchmarks.serving_servers import free_port
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.pack import Pack
from edgepack.runtime.serve.messages import InferRequest
from edgepack.runtime.serve.tensors import HEADER_LENGTH, encode_request

_PATIENCE_S = 60.0
_LOOK_S = 0.002  # between asking whether it answers
_STOP_S = 30.0
_MB = 2**20
_MANY = 8  # distributions that are told by name
# What pip installed, of each distribution; bytecode is Python's own and lies apart. Run in the environment.
_INSTALLED = """
import importlib.metadata, json, pathlib
found = {}
for one in importlib.metadata.distributions():
    files = {pathlib.Path(one.locate_file(file)).resolve() for file in one.files or ()}
    files = [path for path in files if path.is_file()]
    code = sum(path.stat().st_blocks * 512 for path in files if path.suffix == ".pyc")
    found[one.name] = (sum(path.stat().st_blocks * 512 for path in files) - code, code)
print(json.dumps(found))
"""
_NO_PART = {"pip", "setuptools"}  # of a new environment, not of what was installed into it


class Installed(msgspec.Struct, frozen=True):
    """What lies in the environment, in MiB of disk blocks."""

    mb: float
    """Of all distributions but pip and setuptools, without bytecode."""
    bytecode_mb: float
    """Of the bytecode that pip compiled."""
    largest: dict[str, float]


class _Start(NamedTuple):
    """One start: seconds to the first answer, on the clock and of the processor, and MiB of the idle server."""

    seconds: float
    cpu_s: float
    rss_mb: float
    pss_mb: float


class _Question(NamedTuple):
    """One golden sample as a request."""

    path: str
    body: bytes
    headers: dict[str, str]


class Footprint(msgspec.Struct, frozen=True):
    """One way to serve, over several starts: medians, and all that was measured."""

    name: str
    start_s: float
    """From the start of the process to the first answer of the model."""
    slowest_start_s: float
    start_cpu_s: float
    """Processor time of the same: what other work on the machine changes least."""
    rss_mb: float
    """Resident memory of the idle server, in MiB."""
    pss_mb: float
    """The same, where a page that several processes share counts only in part."""
    starts: tuple[_Start, ...]


class Footprints(msgspec.Struct, frozen=True):
    """Everything that was measured."""

    models: int
    installed: Installed
    served: tuple[Footprint, ...]


def measure_footprints(packs: Sequence[Path], python: Path, *, starts: int = 7, idle_s: float = 2.0) -> Footprints:
    """Serve packs and look, with gRPC and without in turn.

    Args:
        packs: What is served; the first is asked, with one golden sample.
        python: The interpreter of the environment.
        starts: How often; one more comes first, which fills the disk's cache.
        idle_s: How long after its first answer the memory of a server is read.

    Raises:
        EngineError: The environment has no edgepack, or a server does not start.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "models"
        folder.mkdir()
        for pack in packs:
            shutil.copy(pack, folder)
        served: dict[str, list[_Start]] = {"HTTP": [], "HTTP and gRPC": []}
        question = _question(packs[0])
        for number in range(starts + 1):
            for way, found in served.items():
                one = _started(python, folder, question, grpc="gRPC" in way, idle_s=idle_s)
                if number:
                    found.append(one)
    return Footprints(len(packs), _installed(python), tuple(_told(*one) for one in served.items()))


def _question(path: Path) -> _Question:
    with Pack(path) as pack:
        if not pack.manifest.goldens:
            raise InputError(f"{path} holds no golden samples; build the pack again")
        inputs, _ = pack.golden(pack.manifest.goldens[0])
    name = path.name.removesuffix(path.suffix)
    wire = encode_request(InferRequest(name, {key: array[:1] for key, array in inputs.items()}))
    return _Question(f"/v2/models/{name}/infer", wire.body, {HEADER_LENGTH: str(wire.header_length)})


def _started(python: Path, folder: Path, question: _Question, *, grpc: bool, idle_s: float) -> _Start:
    """Start a server, ask until it answers, and read its memory when it idles."""
    port = free_port()
    face = ("--grpc-port", str(free_port())) if grpc else ()
    command = [str(python), "-P", "-m", "edgepack", "serve", str(folder), "--port", str(port), *face]
    begun = time.perf_counter()
    with subprocess.Popen(
        command, env=_environment(python), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        try:
            while not _answers(port, question):
                if process.poll() is not None or time.perf_counter() - begun > _PATIENCE_S:
                    raise EngineError(f"a server did not start: {' '.join(command)}")
                time.sleep(_LOOK_S)
            seconds, cpu_s = time.perf_counter() - begun, _cpu_s(process.pid)
            time.sleep(idle_s)
            return _Start(seconds, cpu_s, *_memory_mb(process.pid))
        finally:
            process.terminate()
            try:
                process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _environment(python: Path) -> dict[str, str]:
    """Variables for another interpreter: where this one finds its packages is none of its business."""
    own = python == Path(sys.executable)
    return {name: value for name, value in os.environ.items() if own or not name.startswith("PYTHON")}


def _answers(port: int, question: _Question) -> bool:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=_PATIENCE_S)
    try:
        connection.request("POST", question.path, question.body, question.headers)
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


def _cpu_s(pid: int) -> float:
    """Processor time of a process until now, of all its threads."""
    facts = Path(f"/proc/{pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(facts[11]) + int(facts[12])) / os.sysconf("SC_CLK_TCK")


def _memory_mb(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process; only Linux tells."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()[1:]
    facts = {line.split(":")[0]: int(line.split()[1]) for line in lines}
    return facts["Rss"] / 1024, facts["Pss"] / 1024


def _installed(python: Path) -> Installed:
    done = subprocess.run([python, "-P", "-c", _INSTALLED], env=_environment(python), capture_output=True, check=False)
    if done.returncode:
        raise EngineError(f"{python} does not run: {done.stderr.decode(errors='replace')[-300:]}")
    found = msgspec.json.decode(done.stdout, type=dict[str, tuple[int, int]])
    found = {name: sizes for name, sizes in found.items() if name not in _NO_PART}
    largest = sorted(found, key=lambda name: -found[name][0])[:_MANY]
    return Installed(
        sum(size for size, _ in found.values()) / _MB, sum(code for _, code in found.values()) / _MB,
        {name: round(found[name][0] / _MB, 1) for name in largest},
    )  # fmt: skip


def _told(name: str, starts: Sequence[_Start]) -> Footprint:
    return Footprint(
        name, statistics.median(one.seconds for one in starts), max(one.seconds for one in starts),
        statistics.median(one.cpu_s for one in starts),
        statistics.median(one.rss_mb for one in starts), statistics.median(one.pss_mb for one in starts),
        tuple(starts),
    )  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Measure what the command line says."""
    parser = argparse.ArgumentParser(prog="python -m edgepack.benchmarks.serving_footprint")
    parser.add_argument("packs", type=Path, nargs="+", metavar="PACK", help="what is served; the first is asked")
    parser.add_argument("--python", type=Path, default=Path(sys.executable), help="of the environment that is measured")
    parser.add_argument("--starts", type=int, default=7)
    asked = parser.parse_args(arguments)
    return print_results(partial(measure_footprints, asked.packs, asked.python, starts=asked.starts))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
