"""What every server of the comparison runs and is asked for, and whether it answers rightly."""

import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import msgspec
import numpy as np

from edgepack.benchmarks.serving_load import Request
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.loading import load
from edgepack.runtime.pack import Pack
from edgepack.runtime.serve.messages import InferRequest
from edgepack.runtime.serve.tensors import HEADER_LENGTH, decode_answer, encode_request
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array

_CLOSE = 1e-4  # float32, a few layers
_JSON = (("content-type", "application/json"),)

Arrays = dict[str, Array]


class Subject(NamedTuple):
    """One model and one row."""

    pack: Path
    variant: str
    onnx: bytes
    """The file of the variant."""
    row: Arrays

    def session(self) -> Session:
        """The same in this process, with one thread."""
        return load(self.pack, variant=self.variant, engine="onnx", threads=1)


class Form(NamedTuple):
    """How a server is asked."""

    write: Callable[[Subject, int], Request]
    """Takes the port."""
    read: Callable[[int | None, bytes], Arrays]
    """Takes the length of the JSON, where a header tells it, and the body."""


def subject(path: Path) -> Subject:
    """The float32 ONNX file of a pack and its first golden row; raises `InputError` where it lacks either."""
    with Pack(path) as pack:
        found = [one for one in pack.manifest.variants if one.format == "onnx" and one.precision == "float32"]
        if not (found and pack.manifest.goldens):
            raise InputError(f"{path} holds no ONNX file in float32 with golden samples; build it with both")
        golden, _ = pack.golden(pack.manifest.goldens[0])
        row = {name: array[:1].copy() for name, array in golden.items()}
        return Subject(path.resolve(), found[0].name, pack.read(found[0].file), row)


def check(name: str, subject: Subject, form: Form, port: int) -> None:
    """Raise `EngineError` unless a server answers as a session does."""
    asked = form.write(subject, port)
    call = urllib.request.Request(f"http://127.0.0.1:{port}{asked.path}", asked.body, dict(asked.headers))
    with urllib.request.urlopen(call, timeout=30) as answer:
        length = answer.headers.get(HEADER_LENGTH)
        found = form.read(None if length is None else int(length), answer.read())
    with subject.session() as session:
        wanted = session.run(subject.row)
    if not all(key in found and np.allclose(found[key], array, atol=_CLOSE) for key, array in wanted.items()):
        raise EngineError(f"{name} answers otherwise than a session: {found}")


def _write_infer(subject: Subject, port: int, *, binary: bool) -> Request:
    wire = encode_request(InferRequest("model", subject.row), binary=binary, binary_outputs=binary)
    headers: tuple[tuple[str, str], ...] = _JSON
    if wire.header_length is not None:
        headers = (("content-type", "application/octet-stream"), (HEADER_LENGTH, str(wire.header_length)))
    return Request(port, "/v2/models/model/infer", headers, wire.body)


def _read_infer(length: int | None, content: bytes) -> Arrays:
    return decode_answer(content, length).outputs


def _write_plain(subject: Subject, port: int) -> Request:
    body = msgspec.json.encode({name: array.tolist() for name, array in subject.row.items()})
    return Request(port, "/predict", _JSON, body)


def _read_plain(_: int | None, content: bytes) -> Arrays:
    return {name: np.asarray(data) for name, data in msgspec.json.decode(content).items()}


JSON = Form(partial(_write_infer, binary=False), _read_infer)
BINARY = Form(partial(_write_infer, binary=True), _read_infer)
# rival -> how it is asked: MLServer in the same protocol, LitServe in the plainest JSON
OF_RIVALS = {"mlserver": JSON, "litserve": Form(_write_plain, _read_plain)}
