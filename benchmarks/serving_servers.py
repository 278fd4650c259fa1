"""The servers that are compared: edgepack's, and the shortest service by hand in the manner of each rival.

A rival lives in an environment of its own, of which the interpreter is named; it runs the same ONNX file with the same
number of threads.
"""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec

from edgepack.benchmarks.serving_load import pinned
from edgepack.runtime.errors import EngineError

_START_S = 60.0
_STOP_S = 30.0

_SETTINGS = """\
models = "models"
port = {port}
workers = {workers}
watch = false
[default]
variant = "{variant}"
threads = 1
[default.batch]
max_rows = {max_rows}
"""

_MLSERVER = """
import onnxruntime
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceResponse


class Onnx(MLModel):
    async def load(self):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        path = self.settings.parameters.uri
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]
        return True

    async def predict(self, payload):
        feeds = {one.name: NumpyCodec.decode_input(one) for one in payload.inputs}
        results = self.session.run(None, feeds)
        outputs = [NumpyCodec.encode_output(name, array) for name, array in zip(self.names, results)]
        return InferenceResponse(model_name=self.name, outputs=outputs)
"""

_LITSERVE = """
import sys

import litserve
import numpy
import onnxruntime

path, port = sys.argv[1:]


class Api(litserve.LitAPI):
    def setup(self, device):
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        self.session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
        self.names = [output.name for output in self.session.get_outputs()]

    def decode_request(self, request):
        return {name: numpy.asarray(data, numpy.float32) for name, data in request.items()}

    def predict(self, feeds):
        return self.session.run(None, feeds)

    def encode_response(self, results):
        return {name: array.tolist() for name, array in zip(self.names, results)}


if __name__ == "__main__":
    server = litserve.LitServer(Api(), accelerator="cpu", workers_per_device=1)
    server.run(host="127.0.0.1", port=int(port), num_api_servers=1, log_level="error", generate_client_file=False)
"""


class Plan(NamedTuple):
    """What a server runs, and where."""

    folder: Path
    """A folder of its own."""
    pack: Path
    variant: str
    onnx: Path
    """The file of the variant, for the rivals."""
    cpus: Sequence[int] = ()
    workers: int = 1
    max_rows: int | str = "auto"


class Server:
    """A server in a process of its own. Use it as a context manager; it is stopped with all that it started.

    Args:
        command: What runs it.
        folder: Where, and where its words go.
        port: Where it answers.
        health: The path that answers 200 when it is ready.
        cpus: Where it may run; none is anywhere.
    """

    def __init__(self, command: Sequence[str], folder: Path, port: int, health: str, cpus: Sequence[int] = ()) -> None:
        self.port, self._log = port, folder / "log"
        with self._log.open("wb") as log, pinned(cpus):
            self._process = subprocess.Popen(
                command, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT,
                start_new_session=True,
            )  # fmt: skip
        self._health = f"http://127.0.0.1:{port}{health}"

    def __enter__(self) -> "Server":
        deadline = time.monotonic() + _START_S
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                said = self._log.read_text(encoding="utf-8", errors="replace")[-600:]
                self.__exit__()
                raise EngineError(f"a server did not start: {' '.join(said.split()) or 'it says nothing'}")
            time.sleep(0.1)
        return self

    def __exit__(self, *_: object) -> None:
        for number in (signal.SIGCONT, signal.SIGTERM, signal.SIGKILL):
            if self._process.poll() is None:
                self._signal(number)
            if number == signal.SIGTERM:
                self._wait()
        self._process.wait()

    def pause(self) -> None:
        """Stop its processes in place: what is not measured takes no time from what is."""
        self._signal(signal.SIGSTOP)

    def go_on(self) -> None:
        """Let them run again."""
        self._signal(signal.SIGCONT)

    def memory_mb(self) -> float:
        """Resident memory of its first process now."""
        pages = int(Path(f"/proc/{self._process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE") / 1e6

    def _wait(self) -> None:
        try:
            self._process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            return

    def _signal(self, number: int) -> None:
        """To its whole session of processes, which is its own."""
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(self._health, timeout=1) as answer:
                return bool(answer.status == 200)
        except (urllib.error.URLError, OSError):
            return False


def free_port() -> int:
    """A port that nobody listens on now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def edgepack(plan: Plan) -> Server:
    """Ours, by the command line."""
    port = free_port()
    models = plan.folder / "models"
    models.mkdir()
    (models / "model.edgepack").write_bytes(plan.pack.read_bytes())
    max_rows = msgspec.json.encode(plan.max_rows).decode()  # as TOML has it too
    settings = _SETTINGS.format(port=port, workers=plan.workers, variant=plan.variant, max_rows=max_rows)
    (plan.folder / "serve.toml").write_text(settings, encoding="ascii")
    command = [sys.executable, "-m", "edgepack", "serve", "--config", "serve.toml"]
    return Server(command, plan.folder, port, "/v2/health/ready", plan.cpus)


def mlserver(plan: Plan, python: Path) -> Server:
    """MLServer with a runtime of its own, in the process that answers: its quickest way for one model."""
    ports = {name: free_port() for name in ("http_port", "grpc_port", "metrics_port")}
    settings = {"host": "127.0.0.1", "debug": False, "parallel_workers": 0, **ports}
    model = {"name": "model", "implementation": "rival.Onnx", "parameters": {"uri": str(plan.onnx)}}
    (plan.folder / "rival.py").write_text(_MLSERVER, encoding="ascii")
    (plan.folder / "settings.json").write_bytes(msgspec.json.encode(settings))
    (plan.folder / "model-settings.json").write_bytes(msgspec.json.encode(model))
    command = [str(python.with_name("mlserver")), "start", "."]
    return Server(command, plan.folder, ports["http_port"], "/v2/health/ready", plan.cpus)


def litserve(plan: Plan, python: Path) -> Server:
    """LitServe with one worker and one process that answers."""
    port = free_port()
    (plan.folder / "rival.py").write_text(_LITSERVE, encoding="ascii")
    return Server([str(python), "rival.py", str(plan.onnx), str(port)], plan.folder, port, "/health", plan.cpus)


# name of a rival -> what starts it
RIVALS: dict[str, Callable[[Plan, Path], Server]] = {"mlserver": mlserver, "litserve": litserve}
