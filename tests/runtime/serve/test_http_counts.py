"""What the HTTP face counts: every request that was refused, whoever refused it, and each client that did not wait."""

import base64
import gzip
import json
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from edgepack.runtime.errors import DeniedError, OverloadedError
from edgepack.runtime.serve.settings import Limits, Settings
from tests.runtime.serve.http_running import Echo, Running, running

INFER = "/v2/models/mlp/infer"
ONE = {"inputs": [{"name": "x", "shape": [1, 4], "datatype": "FP32", "data": [0.5] * 4}]}


class Picky:
    """A guard that knows no token but `right`, and is busy on request."""

    def check(self, kind: str, token: str | None, address: str) -> None:
        if token == "busy":
            raise OverloadedError("the rate is spent; come again")
        if token != "right":
            raise DeniedError("a token is needed", is_known=False)


@pytest.fixture
def server(models: Path) -> Iterator[Running]:
    with running(Settings(models=str(models)), guard=Picky()) as found:
        yield found


def failures(server: Running) -> dict[tuple[str, str], int]:
    """(model, error) → how many were counted."""
    told = server.ask("GET", "/metrics", headers={"authorization": "Bearer right"}).text
    found = re.findall(r'edgepack_failures_total\{model="(.*?)",version=".*?",face="rest",error="(\w+)"\} (\d+)', told)
    return {(model, error): int(number) for model, error, number in found}


@pytest.mark.parametrize(
    ("method", "path", "token", "status", "counted"),
    [
        ("POST", INFER, "wrong", 401, ("mlp", "DeniedError")),
        ("POST", INFER, "busy", 429, ("mlp", "OverloadedError")),
        ("GET", "/v2", "wrong", 401, ("", "DeniedError")),
        ("POST", "/v2/models/nothing/infer", "wrong", 401, ("", "DeniedError")),
        ("GET", "/v2/models/nothing", "right", 404, ("", "NotServedError")),
        ("POST", "/v2/models/nothing/infer", "right", 404, ("", "NotServedError")),
        ("GET", "/nothing", "right", 404, ("", "Http404")),
        ("DELETE", INFER, "right", 405, ("mlp", "Http405")),
        ("POST", INFER, "right", 400, ("mlp", "InputError")),
    ],
)  # fmt: skip
def test_what_is_refused_is_counted_once(
    server: Running, method: str, path: str, token: str, status: int, counted: tuple[str, str]
) -> None:
    content = {"content": json.dumps(ONE)} if "nothing" in path else {}
    answer = server.ask(method, path, headers={"authorization": f"Bearer {token}"}, **content)
    assert answer.status_code == status
    assert failures(server) == {counted: 1}


def test_names_that_clients_make_up_are_not_kept(server: Running) -> None:
    for number in range(20):
        server.ask("GET", f"/v2/models/made-up-{number}", headers={"authorization": "Bearer right"})
        server.ask("GET", f"/made-up/{number}", headers={"authorization": "Bearer right"})
        server.ask("POST", f"/v2/models/made-up-{number}/versions/7/infer")
    assert failures(server) == {("", "NotServedError"): 20, ("", "Http404"): 20, ("", "DeniedError"): 20}


def test_health_is_not_counted(server: Running) -> None:
    assert server.ask("GET", "/v2/health/live").status_code == 200
    assert failures(server) == {}


def test_a_client_that_did_not_wait_is_counted_as_cancelled_and_not_as_answered() -> None:
    with running(Settings(models="nowhere"), make_plane=Echo) as server:
        assert isinstance(server.plane, Echo)
        server.plane.delay_s = 1.0
        with pytest.raises(httpx.ReadTimeout):
            httpx.post(server.url + "/v2/models/echo/infer", json=ONE, timeout=0.3)
        time.sleep(0.5)
        assert server.plane.computed == 0
        assert failures(server) == {("", "CancelledError"): 1}
        assert 'edgepack_requests_total{model="echo"' not in server.ask("GET", "/metrics").text


@pytest.fixture(scope="module")
def echo() -> Iterator[Running]:
    with running(Settings(models="nowhere", limits=Limits(body_bytes=2**24)), make_plane=Echo) as found:
        yield found


def asked(rows: int, *, binary: bool) -> dict[str, Any]:
    numbers = np.random.default_rng(0).random(rows).tolist()
    tensor = {"name": "x", "shape": [rows], "datatype": "FP64", "data": numbers}
    return {"inputs": [tensor], "outputs": [{"name": "x", "parameters": {"binary_data": binary}}]}


@pytest.mark.parametrize(
    ("rows", "binary", "is_packed"),
    [(10, False, False), (200, False, True), (2_000, False, True), (50_000, False, True), (2_000, True, False),
     (50_000, True, False)],
)  # fmt: skip
def test_numbers_are_packed_as_text_alone(echo: Running, rows: int, binary: bool, is_packed: bool) -> None:
    answer = echo.ask(
        "POST", "/v2/models/echo/infer", json=asked(rows, binary=binary), headers={"accept-encoding": "gzip"}
    )
    assert answer.status_code == 200
    assert (answer.headers.get("content-encoding") == "gzip") is is_packed
    if not binary:
        assert answer.json()["outputs"][0]["data"] == asked(rows, binary=False)["inputs"][0]["data"]


def test_what_packing_does_not_make_smaller_goes_as_it_is(echo: Running) -> None:
    noise = base64.b64encode(np.random.default_rng(0).bytes(20_000)).decode()
    tensor = {"name": "x", "shape": [1], "datatype": "BYTES", "data": [noise]}
    answer = echo.ask("POST", "/v2/models/echo/infer", json={"inputs": [tensor]}, headers={"accept-encoding": "gzip"})
    assert "content-encoding" not in answer.headers
    assert len(gzip.compress(answer.content)) > 0.6 * len(answer.content)
    assert answer.json()["outputs"][0]["data"] == [noise]
