"""Whatever comes together at a server, each request has its own right answer, and each wrong one its own refusal."""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.client import AsyncClient
from edgepack.runtime.serve.datatypes import to_protocol
from edgepack.runtime.serve.grpc_messages import message
from tests.runtime.serve import traffic
from tests.runtime.serve.running import Running
from tests.runtime.serve.traffic import ASKED, CASES, Tensors

httpx = pytest.importorskip("httpx")
pytest.importorskip("httptools")
grpc = pytest.importorskip("grpc")

CLIENTS = 32
BODY_BYTES = 100_000
CODE = grpc.StatusCode
INFER = "/inference.GRPCInferenceService/ModelInfer"


@pytest.fixture(scope="module")
def config(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file of settings: all versions of all models, and bodies that are not too large."""
    folder = tmp_path_factory.mktemp("traffic")
    (folder / "models").mkdir()
    traffic.write_models(folder / "models")
    path = folder / "serve.toml"
    path.write_text(
        f'models = "models"\n[default]\nversions = "all"\n[limits]\nbody_bytes = {BODY_BYTES}\n', encoding="utf-8"
    )
    return path


class Traffic:
    """What many clients at once have to say, by every way in; `faults` is what was answered wrongly."""

    def __init__(self, running: Running) -> None:
        told = running.until("listening")
        running.until("ready")
        self._binary = AsyncClient(told["url"], retries=0, connections=CLIENTS)
        self._json = AsyncClient(told["url"], retries=0, binary=False, connections=CLIENTS)
        self._bare = httpx.AsyncClient(base_url=told["url"], timeout=30)
        self._channel = grpc.aio.insecure_channel(f"127.0.0.1:{told['grpc_port']}")
        self._infer = self._channel.unary_unary(INFER)
        self.answered: Counter[str] = Counter()
        self.faults: list[str] = []

    async def __aenter__(self) -> "Traffic":
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.gather(self._binary.close(), self._json.close(), self._bare.aclose(), self._channel.close())

    async def client(self, seed: int, requests: int) -> None:
        """One client, which asks one request after another."""
        chance, rng = random.Random(seed), np.random.default_rng(seed)
        ways: dict[str, Callable[[random.Random, np.random.Generator], Awaitable[str]]] = {
            "binary": self._by_client(self._binary), "json": self._by_client(self._json), "grpc": self._by_grpc,
            "predict": self._predict, "wrong over http": self._wrong, "wrong over grpc": self._wrong_grpc,
        }  # fmt: skip
        for _ in range(requests):
            way = chance.choices(list(ways), (5, 5, 6, 2, 2, 1))[0]
            try:
                fault = await ways[way](chance, rng)
            except Exception as error:  # noqa: BLE001 - whatever it is, the request was lost
                fault = repr(error)
            self.answered[way] += 1
            if fault:
                self.faults.append(f"{way}: {fault}")

    def _by_client(self, client: AsyncClient) -> Callable[[random.Random, np.random.Generator], Awaitable[str]]:
        async def ask(chance: random.Random, rng: np.random.Generator) -> str:
            model, version = traffic.pick(chance)
            given, right = _drawn(model, version, rng)
            wanted = chance.sample(list(right), 1) if chance.random() < 0.3 else list(right)
            answer = await client.infer(model, given, outputs=wanted, version=version)
            return _told(answer.version, version) or traffic.wrong(
                answer.outputs, {name: right[name] for name in wanted}
            )

        return ask

    async def _by_grpc(self, chance: random.Random, rng: np.random.Generator) -> str:
        model, version = traffic.pick(chance)
        given, right = _drawn(model, version, rng)
        id_ = str(chance.random())
        asked = message("ModelInferRequest")(model_name=model, model_version=version, id=id_)
        for name, array in given.items():
            asked.inputs.add(name=name, datatype=to_protocol(array.dtype), shape=array.shape)
            asked.raw_input_contents.append(array.tobytes())
        answer = message("ModelInferResponse").FromString(await self._infer(asked.SerializeToString(), timeout=30))
        found = {
            one.name: np.frombuffer(raw, np.float32).reshape(tuple(one.shape))
            for one, raw in zip(answer.outputs, answer.raw_output_contents, strict=True)
        }
        if answer.id != id_:
            return f"answer to {answer.id} for {id_}"
        return _told(answer.model_version, version) or traffic.wrong(found, right)

    async def _predict(self, chance: random.Random, rng: np.random.Generator) -> str:
        model, version = chance.choice(("mlp", "tiles")), chance.choice(list(ASKED))
        raw = traffic.raw_samples(model, rng)
        (scores,) = CASES[model].answer(traffic.prepared(model, raw), ASKED[version]).values()
        right = traffic.labelled(scores, ASKED[version])
        id_ = str(chance.random())
        reply = await self._bare.post(_path(model, version, "predict"), json={"samples": raw.tolist(), "id": id_})
        if reply.status_code != 200:
            return reply.text
        answer = reply.json()
        if answer["id"] != id_ or len(answer["results"]) != len(right):
            return f"{answer} for {id_}"
        for row, rights in zip(answer["results"], right, strict=True):
            scored = {one["label"]: one["score"] for one in row}
            if scored != pytest.approx(dict(rights), abs=10 * traffic.TOLERANCE):
                return f"{row} for {rights}"
        return _told(answer["model_version"], version)

    async def _wrong(self, chance: random.Random, rng: np.random.Generator) -> str:
        method, path, status, options = chance.choice(WRONG)
        reply = await self._bare.request(method, path, **options)
        if reply.status_code != status or not reply.json().get("error"):
            return f"{method} {path} {str(options)[:200]}: {reply.status_code} {reply.text[:200]} for {status}"
        return ""

    async def _wrong_grpc(self, chance: random.Random, rng: np.random.Generator) -> str:
        model, version, datatype, shape, code = chance.choice(WRONG_GRPC)
        asked = message("ModelInferRequest")(model_name=model, model_version=version)
        asked.inputs.add(name="x", datatype=datatype, shape=shape)
        asked.raw_input_contents.append(bytes(16))
        try:
            await self._infer(asked.SerializeToString(), timeout=30)
        except grpc.aio.AioRpcError as error:
            return "" if error.code() == code else f"{error.code()} {error.details()} for {code}"
        return f"an answer to {model!r} {version!r} {datatype} {shape}"


def _drawn(model: str, version: str, rng: np.random.Generator) -> tuple[Tensors, Tensors]:
    given = CASES[model].draw(rng)
    return given, CASES[model].answer(given, ASKED[version])


def _told(version: str, asked: str) -> str:
    return "" if version == str(ASKED[asked]) else f"version {version} says it answers for {asked!r}"


def _path(model: str, version: str, verb: str) -> str:
    return f"/v2/models/{model}/versions/{version}/{verb}" if version else f"/v2/models/{model}/{verb}"


def _x(**changes: Any) -> dict[str, Any]:
    one = {"name": "x", "datatype": "FP32", "shape": [1, 4], "data": [0.5] * 4} | changes
    return {"inputs": [one]}


# method, path, the status it must have, and the rest of the request
WRONG: list[tuple[str, str, int, dict[str, Any]]] = [
    ("POST", "/v2/models/nobody/infer", 404, {"json": _x()}),
    ("POST", "/v2/models/mlp/versions/3/infer", 404, {"json": _x()}),
    ("POST", "/v2/models/mlp/versions/newest/infer", 404, {"json": _x()}),
    ("POST", "/v2/models/mlp/versions/01/predict", 404, {"json": {"sample": [1, 2, 3, 4]}}),
    ("GET", "/v2/models/mlp/versions/..%2F..%2Fetc", 404, {}),
    ("GET", "/v2/models/mlp/infer", 405, {}),
    ("POST", "/v2/models/mlp/infer", 400, {"content": b"{"}),
    ("POST", "/v2/models/mlp/infer", 400, {"json": _x(shape=[1, 5])}),
    ("POST", "/v2/models/mlp/infer", 400, {"json": _x(shape=[2, 2])}),
    ("POST", "/v2/models/mlp/infer", 400, {"json": _x(datatype="FP33")}),
    ("POST", "/v2/models/mlp/infer", 400, {"json": _x(name="z")}),
    ("POST", "/v2/models/mlp/infer", 400, {"json": _x(data=["a"] * 4)}),
    ("POST", "/v2/models/pair/infer", 400, {"json": _x(name="a", shape=[2, 2])}),
    ("POST", "/v2/models/steps/infer", 400, {"json": _x(shape=[1, 2, 3], data=[0.5] * 6)}),
    ("POST", "/v2/models/ids/infer", 400, {"json": _x(name="ids", datatype="INT64", shape=[1, 5], data=[99] * 5)}),
    ("POST", "/v2/models/mlp/infer", 400, {"json": {**_x(), "outputs": [{"name": "z"}]}}),
    ("POST", "/v2/models/mlp/infer", 400, {"json": _x(), "headers": {"inference-header-content-length": "9999"}}),
    ("POST", "/v2/models/mlp/infer", 413, {"content": b" " * (BODY_BYTES + 1)}),
    ("POST", "/v2/models/mlp/predict", 400, {"json": {"sample": [1, 2, 3]}}),
    ("POST", "/v2/models/mlp/predict", 400, {"json": {}}),
    ("POST", "/v2/models/tiles/predict", 400, {"json": {"sample": [[1, 2], [3]]}}),
    ("POST", "/v2/models/tiles/predict", 400, {"content": b"no image", "headers": {"content-type": "image/png"}}),
    ("POST", "/v2/models/tiles/predict", 415, {"content": b"red", "headers": {"content-type": "text/plain"}}),
]  # fmt: skip
# model, version, datatype and shape of a tensor x of 16 bytes, and the code it must have
WRONG_GRPC = [
    ("nobody", "", "FP32", (1, 4), CODE.NOT_FOUND),
    ("mlp", "3", "FP32", (1, 4), CODE.NOT_FOUND),
    ("mlp", "newest", "FP32", (1, 4), CODE.NOT_FOUND),
    ("mlp", "", "FP32", (1, 5), CODE.INVALID_ARGUMENT),
    ("mlp", "", "FP32", (2, 2), CODE.INVALID_ARGUMENT),
    ("mlp", "", "FP33", (1, 4), CODE.INVALID_ARGUMENT),
    ("pair", "", "FP32", (2, 2), CODE.INVALID_ARGUMENT),
]


async def _ask(running: Running, requests: int, seed: int) -> Counter[str]:
    async with Traffic(running) as sent:
        each = -(-requests // CLIENTS)
        await asyncio.gather(*(sent.client(seed + number, each) for number in range(CLIENTS)))
        assert not sent.faults, (len(sent.faults), sent.faults[:5])
        return sent.answered


@pytest.mark.parametrize(("workers", "requests"), [(1, 1_000), (2, 400)])
def test_a_thousand_mixed_requests_have_the_right_answers(config: Path, workers: int, requests: int) -> None:
    with Running("--config", config, "--grpc-port", 0, "--workers", workers) as running:
        answered = asyncio.run(_ask(running, requests, seed=0))
        assert answered.total() >= requests
        assert min(answered.values()) > 10
        assert running.stop() == 0


@pytest.mark.slow
def test_fifty_thousand_mixed_requests_have_the_right_answers(config: Path) -> None:
    with Running("--config", config, "--grpc-port", 0) as running:
        assert asyncio.run(_ask(running, 50_000, seed=1_000)).total() >= 50_000
        assert running.stop() == 0
