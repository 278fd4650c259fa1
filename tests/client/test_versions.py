"""Versions and labels: which one answers, and how that is changed from afar."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgepack.client import AsyncClient, Client
from edgepack.runtime.errors import ConflictError, NotReadyError, NotServedError
from edgepack.runtime.manifest import Step, Steps
from edgepack.runtime.serve.settings import ModelSettings, Settings
from tests.runtime.serve.http_running import running
from tests.zoo import packs

SAMPLE = np.array([0.1, 0.2, 0.3, 0.4], np.float32)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    """A server of three versions of a model; the last one tells a number where the others tell labels."""
    folder = tmp_path / "colours"
    folder.mkdir()
    manifest, files = packs.mlp()
    for version, last in {
        "1": Step("classify", {"labels": ["a", "b", "c"], "top": 1}),
        "2": Step("classify", {"labels": ["d", "e", "f"], "top": 1}),
        "3": Step("number", {"names": ["g", "h", "i"]}),
    }.items():
        steps = Steps(inputs=manifest.steps.inputs, outputs={"y": (last,)})
        packs.write(folder / f"{version}.edgepack", (msgspec.structs.replace(manifest, steps=steps), files))
    settings = Settings(models=str(tmp_path), watch=False, default=ModelSettings(versions="all"))
    with running(settings) as server, Client(server.url, retries=0) as made:
        yield made


def told(client: Client, version: str = "") -> str:
    """The first letter that a version answers with."""
    return str(client.predict("colours", SAMPLE, version=version)[0][0])


def test_a_version_is_asked_for_by_its_number_or_its_label(client: Client) -> None:
    for version, letters in {"1": "abc", "2": "def", "3": "ghi"}.items():
        assert told(client, version) in letters
    assert told(client) in "ghi"
    client.set_label("colours", "canary", "1")
    assert told(client, "canary") in "abc"
    assert client.infer("colours", SAMPLE[np.newaxis], version="canary").version == "1"
    assert client.model("colours", version="canary").labels == ("canary",)
    with pytest.raises(NotServedError):
        client.predict("colours", SAMPLE, version="9")


def test_results_are_read_as_the_version_that_answers_means_them(client: Client) -> None:
    assert type(client.predict("colours", SAMPLE)[0]).__name__ == "Value"
    client.set_label("colours", "stable", "2")
    assert type(client.predict("colours", SAMPLE)[0]).__name__ == "Score"
    assert told(client) in "def"


def test_the_last_good_version_is_one_call_away(client: Client) -> None:
    assert client.rollback("colours") == "2"
    assert told(client) in "def"
    with pytest.raises(NotServedError):
        client.rollback("nothing")


def test_a_label_never_points_to_what_is_not_ready(client: Client) -> None:
    with pytest.raises((ConflictError, NotServedError)):
        client.set_label("colours", "stable", "9")


def test_a_model_is_taken_out_of_traffic_and_back(client: Client) -> None:
    client.unload("colours")
    assert not client.ready("colours")
    assert client.models(ready=True) == []
    assert len(client.models()) == 3
    with pytest.raises((NotReadyError, NotServedError)):
        client.predict("colours", SAMPLE)
    client.load("colours")
    assert client.ready("colours")
    assert told(client) in "ghi"


def test_the_async_client_does_all_of_it(client: Client) -> None:
    async def change() -> None:
        async with AsyncClient(client.url) as other:
            await other.set_label("colours", "canary", "1")
            assert (await other.infer("colours", SAMPLE[np.newaxis], version="canary")).version == "1"
            await other.unload("colours", version="3")
            await other.load("colours", version="3")
            assert await other.rollback("colours") == "2"

    asyncio.run(change())
    assert told(client) in "def"
