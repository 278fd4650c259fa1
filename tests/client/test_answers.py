"""Every answer of a server is that of a session in this process."""

import asyncio
import io
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.client import AsyncClient, Client
from edgepack.runtime.session import Session
from tests.client.conftest import COLUMNS, same
from tests.zoo import packs

Sessions = dict[str, Session]
PIXELS = np.random.default_rng(3).integers(0, 256, (4, 4, 3), np.uint8)


def picture(pixels: Any) -> Any:
    from PIL import Image

    return Image.fromarray(pixels)


def png_file(pixels: Any) -> bytes:
    data = io.BytesIO()
    picture(pixels).save(data, "PNG")
    return data.getvalue()


def wav_file(samples: Any, rate_hz: int) -> bytes:
    body = np.asarray(samples, "<i2").tobytes()
    form = struct.pack("<HHIIHH", 1, 1, rate_hz, rate_hz * 2, 2, 16)
    return (
        b"RIFF"
        + struct.pack("<I", 36 + len(body))
        + b"WAVEfmt "
        + struct.pack("<I", 16)
        + form
        + b"data"
        + (struct.pack("<I", len(body)) + body)
    )


SAMPLES: dict[str, tuple[str, Any]] = {
    "image-bytes": ("tiles", png_file(PIXELS)),
    "image-of-another-size": ("tiles", png_file(np.kron(PIXELS, np.ones((3, 2, 1), np.uint8)))),
    "pil-image": ("tiles", picture(PIXELS)),
    "pil-image-in-cmyk": ("tiles", picture(PIXELS).convert("CMYK")),
    "pil-image-with-a-palette": ("tiles", picture(PIXELS).quantize(7)),
    "pixels-in-colour": ("tiles", PIXELS),
    "pixels-with-alpha": ("tiles", np.dstack([PIXELS, PIXELS[:, :, 0]])),
    "grey-pixels": ("tiles", PIXELS[:, :, 0]),
    "several-images": ("tiles", [png_file(PIXELS), PIXELS, PIXELS[:, :, 1]]),
    "row-by-column": ("row", dict(zip(COLUMNS, (31, "72.5", 1.8, 60), strict=True))),
    "row-as-csv": ("row", "31, 72.5, 1.8, 60"),
    "row-as-array": ("row", np.array([31, 72.5, 1.8, 60])),
    "several-rows": ("row", [[1, 2, 3, 4], {"x": [4, 3, 2, 1]}, "0,0,0,0"]),
    "text": ("text", "The book is 很好"),
    "text-of-bytes": ("text", "The book is 很好".encode()),
    "several-texts": ("text", ["good", "", "很好 the"]),
    "sound-bytes": ("sound", wav_file([100, -3000, 32767, 5], 1000)),
    "sound-of-another-rate": ("sound", wav_file(range(0, 9000, 900), 2000)),
    "sound-array": ("sound", np.array([0.1, -0.25, 1.0], np.float32)),
    "sound-of-integers": ("sound", np.array([[100, 200], [-300, 7]], np.int16)),
    "series": ("series", np.arange(8).reshape(2, 4) / 7),
    "series-longer-than-taken": ("series", np.ones((5, 4), np.float32)),
    "picture": ("picture", np.array([0.1, 0.2, 0.3, 0.4])),
    "pictures": ("picture", [np.array([0.1, 0.2, 0.3, 0.4]), "1,2,3,4"]),
    "numbers": ("mlp", np.array([0.1, 0.2, 0.3, 0.4], np.float32)),
    "several-of-numbers": ("mlp", [[1, 2, 3, 4], np.array([1.5, 2, 3, 4])]),
    "parts-by-name": ("pair", {"a": np.float32([1, 2]), "b": [3.5, 4]}),
    "several-of-parts": ("pair", [{"a": [1.0, 2], "b": [3.5, 4]}, {"b": [0.0, 0], "a": [1, 1]}]),
    "none": ("row", []),
}  # fmt: skip


@pytest.mark.parametrize(("model", "sample"), SAMPLES.values(), ids=SAMPLES)
def test_a_raw_sample_gives_what_a_session_gives(client: Client, sessions: Sessions, model: str, sample: Any) -> None:
    assert same(client.predict(model, sample), sessions[model].predict(sample))


@pytest.mark.parametrize(
    ("model", "name", "content"),
    [
        ("tiles", "a.png", png_file(PIXELS)),
        ("sound", "a.wav", wav_file([1, 2, 3000, 4], 1000)),
        ("series", "a.csv", b"a,b,c,d\n1,2,3,4\n5,6,7,8\n"),
    ],
    ids=["image", "sound", "series"],
)
@pytest.mark.parametrize("kind", [str, Path])
def test_a_path_is_read_here(
    client: Client, sessions: Sessions, tmp_path: Path, model: str, name: str, content: bytes, kind: type
) -> None:
    path = tmp_path / name
    path.write_bytes(content)
    assert same(client.predict(model, kind(path)), sessions[model].predict(path))


@pytest.mark.parametrize(
    ("model", "name", "content"),
    [
        ("row", "a.csv", "pulse,age,weight,height\n" + "60,31,72.5,1.8\n" * 150),
        ("text", "a.txt", "good book\n很好\n\nthe end\n"),
    ],
    ids=["rows", "texts"],
)
def test_a_file_of_many_samples_gives_all_results(
    client: Client, sessions: Sessions, tmp_path: Path, model: str, name: str, content: str
) -> None:
    path = tmp_path / name
    path.write_text(content, encoding="utf-8")
    found = client.predict(model, path)
    assert len(found) > 3
    assert same(found, sessions[model].predict(path))


@pytest.mark.parametrize("model", ["mlp", "pair", "tiles", "ids", "lstm"])
def test_tensors_give_what_a_session_gives(client: Client, sessions: Sessions, model: str) -> None:
    name = {"ids": "text", "lstm": "series"}.get(model, model)
    inputs, _ = packs.outputs(model)
    assert same(client.run(name, inputs), sessions[name].run(inputs))


def test_one_array_is_enough_where_there_is_one_input(client: Client, sessions: Sessions) -> None:
    inputs, _ = packs.outputs("tiles")
    assert same(client.run("tiles", inputs["image"]), sessions["tiles"].run(inputs))
    assert same(client("tiles", inputs["image"]), sessions["tiles"](inputs["image"]))
    assert same(client("pair", packs.outputs("pair")[0]), sessions["pair"](packs.outputs("pair")[0]))


def test_lists_take_the_element_type_of_the_model(client: Client, sessions: Sessions) -> None:
    rows = [[1, 2, 3, 4], [0.5, 0, 0, 1]]
    assert same(client.run("mlp", rows), sessions["mlp"].run(rows))
    assert same(client.run("text", {"ids": [[1, 2, 3, 4, 5]]}), sessions["text"].run({"ids": [[1, 2, 3, 4, 5]]}))


@pytest.mark.parametrize("dtype", ["float64", "float16", ">f4"])
def test_other_floats_are_taken_as_a_session_takes_them(client: Client, sessions: Sessions, dtype: str) -> None:
    rows = np.ones((2, 4), dtype)
    assert same(client.run("mlp", {"x": rows}), sessions["mlp"].run({"x": rows.astype("float32")}))


def test_arrays_that_come_back_can_be_written(client: Client) -> None:
    found = client("mlp", np.ones((2, 4), np.float32))
    assert isinstance(found, np.ndarray)
    found += 1


def test_outputs_can_be_chosen(client: Client, sessions: Sessions) -> None:
    inputs, _ = packs.outputs("pair")
    found = client.run("pair", inputs, outputs=["product"])
    assert same(found, {"product": sessions["pair"].run(inputs)["product"]})


def test_an_answer_tells_which_version_gave_it(client: Client) -> None:
    answer = client.infer("mlp", np.ones((1, 4), np.float32))
    assert (answer.model, answer.version) == ("mlp", "1")


def test_the_server_tells_what_it_serves(client: Client, models: Path) -> None:
    assert client.live()
    assert client.ready()
    assert client.ready("tiles")
    assert not client.ready("nothing")
    assert [entry.name for entry in client.models(ready=True)] == sorted(
        path.stem for path in models.glob("*.edgepack")
    )
    about = client.model("mlp")
    assert (about.inputs[0].shape, about.inputs[0].datatype, about.inputs[0].meaning) == (
        (-1, 4),
        "FP32",
        "four measures",
    )
    assert about.outputs[0].labels == ("red", "green", "blue")
    assert about.results == {"y": "labels"}


def test_sixteen_tasks_of_an_async_client_get_each_its_own_answers(url: str, sessions: Sessions) -> None:
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((16, 3, 4)).astype(np.float32)

    async def ask(client: AsyncClient, mine: Any) -> None:
        for _ in range(5):
            assert same(await client("mlp", mine), sessions["mlp"](mine))
            for model, sample in (SAMPLES["several-texts"], SAMPLES["pixels-in-colour"], ("row", list(mine))):
                assert same(await client.predict(model, sample), sessions[model].predict(sample))

    async def ask_all() -> None:
        async with AsyncClient(url, connections=8) as client:
            assert await client.live()
            assert await client.ready("mlp")
            assert (await client.model("mlp")).name == "mlp"
            assert len(await client.models()) == len(sessions)
            await asyncio.gather(*(ask(client, mine) for mine in rows))

    asyncio.run(ask_all())
