"""The repository over HTTP: what is asked of it, and how its refusals are told."""

from collections.abc import Iterator

import pytest

from edgepack.runtime.errors import ConflictError, NotServedError
from edgepack.runtime.serve.messages import IndexEntry
from edgepack.runtime.serve.plane import Plane
from edgepack.runtime.serve.repository import Repository
from edgepack.runtime.serve.settings import Settings
from tests.runtime.serve.http_running import Running, running

ASKED: list[tuple[str, ...]] = []
KEPT = "/v2/repository/models"


class Kept(Repository):
    """A repository that notes what it is asked for."""

    def index(self) -> list[IndexEntry]:
        return [
            IndexEntry("a", "1", "READY", labels=("stable",)),
            IndexEntry("a", "2", "UNAVAILABLE", "its golden samples are answered wrongly", cause="failed"),
        ]

    async def load(self, name: str, version: str = "") -> None:
        ASKED.append(("load", name, version))

    async def unload(self, name: str, version: str = "") -> None:
        ASKED.append(("unload", name, version))

    async def rollback(self, name: str) -> str:
        if name == "new":
            raise ConflictError("there is no version to go back to")
        return "6"

    async def set_label(self, name: str, label: str, version: str) -> None:
        if version == "99":
            raise NotServedError("no version '99'")
        ASKED.append(("label", name, label, version))


def _plane(_: Repository, version: str) -> Plane:
    settings = Settings(models="nowhere")
    from edgepack.runtime.serve.metrics import Metrics

    return Plane(Kept(settings, Metrics()), version)


@pytest.fixture(scope="module")
def kept() -> Iterator[Running]:
    with running(Settings(models="nowhere"), make_plane=_plane) as found:
        yield found


@pytest.fixture(autouse=True)
def forget() -> None:
    ASKED.clear()


def test_the_index_tells_every_version_or_those_that_answer(kept: Running) -> None:
    every = kept.ask("POST", "/v2/repository/index").json()
    assert [(entry["version"], entry["state"], entry["reason"]) for entry in every] == [
        ("1", "READY", ""), ("2", "UNAVAILABLE", "its golden samples are answered wrongly"),
    ]  # fmt: skip
    assert every[0]["labels"] == ["stable"]
    assert [entry["cause"] for entry in every] == ["", "failed"]
    ready = kept.ask("POST", "/v2/repository/index", json={"ready": True}).json()
    assert [entry["version"] for entry in ready] == ["1"]


def test_load_and_unload_take_a_version_or_none(kept: Running) -> None:
    assert kept.ask("POST", f"{KEPT}/a/load").json() == {}
    assert kept.ask("POST", f"{KEPT}/a/load", json={"parameters": {"version": "2"}}).status_code == 200
    assert kept.ask("POST", f"{KEPT}/a/unload", json={"parameters": {"unload_dependents": False}}).status_code == 200
    assert ASKED == [("load", "a", ""), ("load", "a", "2"), ("unload", "a", "")]


@pytest.mark.parametrize(
    "parameters", [{"config": "{}"}, {"file:1/model.onnx": "AAAA"}, {"version": 2}], ids=["config", "file", "number"]
)
def test_load_takes_no_files_from_a_client(kept: Running, parameters: object) -> None:
    assert kept.ask("POST", f"{KEPT}/a/load", json={"parameters": parameters}).status_code == 400
    assert kept.ask("POST", f"{KEPT}/a/load", content=b"{]").status_code == 400
    assert ASKED == []


def test_rollback_tells_the_version_that_answers(kept: Running) -> None:
    assert kept.ask("POST", f"{KEPT}/a/rollback").json() == {"name": "a", "version": "6"}
    refused = kept.ask("POST", f"{KEPT}/new/rollback")
    assert (refused.status_code, refused.json()["error"]) == (409, "there is no version to go back to")


def test_a_label_is_put_on_a_version(kept: Running) -> None:
    answer = kept.ask("PUT", f"{KEPT}/a/labels/canary", json={"version": "2"})
    assert answer.json() == {"name": "a", "version": "2"}
    assert ASKED == [("label", "a", "canary", "2")]
    assert kept.ask("PUT", f"{KEPT}/a/labels/canary", json={"version": "99"}).status_code == 404
    assert kept.ask("PUT", f"{KEPT}/a/labels/canary", json={"version": 2}).status_code == 400
    assert kept.ask("PUT", f"{KEPT}/a/labels/canary").status_code == 400
