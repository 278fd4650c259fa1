"""The OpenAPI document is true: schemathesis asks whatever it allows and more, and compares every answer with it."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from hypothesis.errors import Unsatisfiable
from schemathesis.checks import not_a_server_error
from schemathesis.generation import GenerationMode
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from edgepack.runtime.errors import ConflictError
from edgepack.runtime.serve.http_routes import ROUTES
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.repository import Repository
from edgepack.runtime.serve.settings import Limits, Settings
from tests.runtime.serve.http_running import Running, running

CHECKS = [
    not_a_server_error, status_code_conformance, content_type_conformance, response_headers_conformance,
    response_schema_conformance,
]  # fmt: skip
MODELS = ("mlp", "row", "pair", "picture", "tiles", "nothing")


class Settled(Repository):
    """A repository whose models stay, whatever is asked of it."""

    async def load(self, name: str, version: str = "") -> None:
        await self.fetch(name, version) if self.ready(name, version) is None else None

    async def unload(self, name: str, version: str = "") -> None:
        await self.load(name, version)

    async def rollback(self, name: str) -> str:
        raise ConflictError("there is no version to go back to")

    async def set_label(self, name: str, label: str, version: str) -> None:
        await self.load(name, version)


def _plane(repository: Repository, version: str) -> Plane:
    repository.__class__ = Settled
    return Plane(repository, version)


@pytest.fixture(scope="module")
def settled(models: Path) -> Iterator[Running]:
    limits = Limits(body_bytes=2**20, read_timeout_s=5)
    with running(Settings(models=str(models), limits=limits), make_plane=_plane) as found:
        yield found


@pytest.fixture(scope="module")
def document(settled: Running) -> Any:
    answer = settled.ask("GET", "/openapi.json")
    assert answer.status_code == 200
    return answer.json()


def test_the_document_has_every_route(document: Any) -> None:
    told = {(method.upper(), path) for path, methods in document["paths"].items() for method in methods}
    assert {(route.method, route.path) for route in ROUTES} <= told
    assert ("GET", "/openapi.json") in told
    assert document["openapi"] == "3.1.0"


def test_the_document_is_one_of_openapi(document: Any) -> None:
    schemathesis.openapi.from_dict(document).validate()
    names = [operation["operationId"] for methods in document["paths"].values() for operation in methods.values()]
    assert len(names) == len(set(names))
    assert all(operation["summary"] for methods in document["paths"].values() for operation in methods.values())


def test_no_reference_of_the_document_leads_nowhere(document: Any) -> None:
    text = json.dumps(document)
    for name in {part.partition('"')[0] for part in text.split('"#/components/schemas/')[1:]}:
        assert name in document["components"]["schemas"]


def ask_everything(server: Running, document: Any, examples: int) -> None:
    """Ask each operation so many times, with what the document allows and with what it does not."""
    with requests.Session() as session:
        for found in schemathesis.openapi.from_dict(document).get_all_operations():
            operation = found.ok()
            if operation.path != "/" and not operation.path.startswith("/page/"):
                for mode in GenerationMode:
                    _ask(server, session, operation, mode, examples)


def _ask(server: Running, session: Any, operation: Any, mode: GenerationMode, examples: int) -> None:
    @given(case=operation.as_strategy(generation_mode=mode), name=st.sampled_from(MODELS), is_known=st.booleans())
    @settings(
        max_examples=examples, deadline=None, database=None, suppress_health_check=list(HealthCheck),
        phases=[Phase.generate],
    )  # fmt: skip
    def ask(case: Any, name: str, is_known: bool) -> None:
        if is_known and "name" in case.path_parameters:
            case.path_parameters["name"] = name
            if "version" in case.path_parameters:
                case.path_parameters["version"] = "1"
        case.validate_response(case.call(base_url=server.url, session=session, timeout=20), checks=CHECKS)

    with contextlib.suppress(Unsatisfiable):  # what takes nothing cannot be asked wrongly
        ask()


def test_a_few_questions_of_every_kind_are_answered_as_the_document_says(settled: Running, document: Any) -> None:
    ask_everything(settled, document, 4)


@pytest.mark.slow
def test_many_questions_of_every_kind_are_answered_as_the_document_says(settled: Running, document: Any) -> None:
    ask_everything(settled, document, 100)
