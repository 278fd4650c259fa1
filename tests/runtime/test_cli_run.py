"""`edgepack run` and `edgepack inspect` on packs of every kind of raw sample."""

import json
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from PIL import Image  # noqa: TID253 - the reader that our files must please

import edgepack
from edgepack.runtime.manifest import Step, Steps
from edgepack.runtime.pack import reference
from edgepack.runtime.tensor import Array, TensorSpec
from tests.conftest import Run
from tests.runtime.test_steps_recording import wav
from tests.zoo import packs
from tests.zoo.packs import TOLERANCE, outputs

COLUMNS = ["length", "width", "height", "weight"]
GIVEN, WANTED = outputs("mlp")


def pack(folder: Path, first: Step, last: Step) -> Path:
    """The pack of four measures and three scores, with other steps."""
    manifest, files = packs.mlp()
    steps = Steps(inputs={"x": (first,)}, outputs={"y": (last,)})
    return packs.write(folder / "m.edgepack", (msgspec.structs.replace(manifest, steps=steps), files))


ROW = Step("row", {"columns": COLUMNS})
SOUND = Step("sound", {"rate": 1000, "seconds": 0.004})
SCORES = Step("classify", {"labels": ["red", "green", "blue"], "top": 1})
NUMBERS = Step("number", {"unit": "degC", "decimals": 2, "names": ["low", "mean", "high"]})
PICTURE = Step("picture", {"height": 1, "width": 3})


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    """A .csv file of the stored inputs, in another order of columns and with one more."""
    header = ",".join(["id", *reversed(COLUMNS)])
    lines = [",".join(map(str, [index, *row[::-1].tolist()])) for index, row in enumerate(GIVEN["x"])]
    path = tmp_path / "rows.csv"
    path.write_text("\n".join([header, *lines]), encoding="utf-8")
    return path


def best(scores: Array) -> str:
    index = int(scores.argmax())
    return f"{['red', 'green', 'blue'][index]} ({scores[index]:.1%})"


def test_a_file_of_rows_gives_a_result_a_line(run: Run, tmp_path: Path, rows: Path) -> None:
    done = run("run", pack(tmp_path, ROW, SCORES), rows)
    assert done.code == 0, done.err
    assert done.out.splitlines() == [f"{rows}:{number}: {best(row)}" for number, row in enumerate(WANTED["y"], 2)]


def test_rows_are_given_on_the_command_line(run: Run, tmp_path: Path) -> None:
    text = ",".join(map(str, GIVEN["x"][0].tolist()))
    done = run("run", pack(tmp_path, ROW, SCORES), "--text", text)
    assert done.out == f"{text}: {best(WANTED['y'][0])}\n"


def test_numbers_are_printed_with_names_and_units_and_are_json(run: Run, tmp_path: Path, rows: Path) -> None:
    path = pack(tmp_path, ROW, NUMBERS)
    low, mean, high = (round(float(one), 2) for one in WANTED["y"][0])
    shown = run("run", path, rows).out.splitlines()[0]
    assert shown == f"{rows}:2: low {low:g} degC, mean {mean:g} degC, high {high:g} degC"
    found = json.loads(run("run", path, rows, "--json").out)["results"]
    assert len(found) == len(WANTED["y"])
    assert found[0]["result"][0] == {"name": "low", "number": low, "unit": "degC"}


def test_a_sound_is_run(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "s.wav"
    samples = np.clip(GIVEN["x"][0], -1, 1)
    path.write_bytes(wav(samples, rate=1000, bits=32, coding=3))
    model = pack(tmp_path, SOUND, SCORES)
    with edgepack.load(model) as session:
        wanted = session.run(samples[np.newaxis])["y"][0]
    assert run("run", model, path).out == f"{path}: {best(wanted)}\n"


def test_pictures_are_written_beside_and_never_replaced_by_themselves(
    run: Run, tmp_path: Path, rows: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = pack(tmp_path, ROW, PICTURE)
    (tmp_path / "drawn").mkdir()
    done = run("run", path, rows, "--output", tmp_path / "drawn")
    assert done.code == 0, done.err
    assert done.out.splitlines()[0] == f"{rows}:2: {tmp_path / 'drawn' / 'rows-2-y.png'}"
    for index, scores in enumerate(WANTED["y"], 2):
        pixels = np.asarray(Image.open(tmp_path / "drawn" / f"rows-{index}-y.png"))
        np.testing.assert_allclose(pixels[0] / 255, scores, atol=0.5 / 255 + TOLERANCE)
    again = run("run", path, rows, "--output", tmp_path / "drawn")
    assert (again.code, again.out) == (1, "")
    assert "rows-2-y.png exists already; pass --force" in again.err
    assert run("run", path, rows, "--output", tmp_path / "drawn", "--force", "--json").code == 0
    monkeypatch.chdir(tmp_path)
    done = run("run", path, "--text", "1,2,3,4", "--json")
    assert json.loads(done.out)["results"] == [{"sample": "1,2,3,4", "result": "1-2-3-4-y.png"}]
    assert (tmp_path / "1-2-3-4-y.png").exists()


def test_tensors_run_beside_raw_samples_in_the_order_given(run: Run, tmp_path: Path, rows: Path) -> None:
    np.save(tmp_path / "x.npy", GIVEN["x"])
    done = run("run", pack(tmp_path, ROW, SCORES), tmp_path / "x.npy", rows, "--text", "1,2,3,4", "--json")
    found = json.loads(done.out)["results"]
    assert [one["sample"] for one in found[:2] + found[-1:]] == [str(tmp_path / "x.npy"), f"{rows}:2", "1,2,3,4"]
    np.testing.assert_allclose(found[0]["result"]["y"], WANTED["y"], atol=TOLERANCE)


def series_pack(folder: Path) -> Path:
    """A model that gives the mean over time of a series of two channels."""
    helper = pytest.importorskip("onnx.helper")
    x = helper.make_tensor_value_info("x", 1, ["batch", "time", 2])
    y = helper.make_tensor_value_info("y", 1, ["batch", 2])
    graph = helper.make_graph([helper.make_node("ReduceMean", ["x"], ["y"], axes=[1], keepdims=0)], "g", [x], [y])
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    manifest, _ = packs.mlp()
    data = model.SerializeToString()
    name = "models/mlp.onnx"
    variant = msgspec.structs.replace(manifest.variants[0], file=reference(name, data))
    manifest = msgspec.structs.replace(
        manifest, variants=(variant,), goldens=(), labels={},
        inputs=(TensorSpec("x", (None, None, 2), "float32"),),
        outputs=(TensorSpec("y", (None, 2), "float32"),),
        steps=Steps(
            inputs={"x": (Step("series", {"length": None, "channels": 2}),)},
            outputs={"y": (Step("number", {"unit": "kWh", "decimals": 1, "names": ["day", "night"]}),)},
        ),
    )  # fmt: skip
    return packs.write(folder / "series.edgepack", (manifest, {name: data}))


def test_series_of_different_length_and_kind_of_file_are_run(run: Run, tmp_path: Path) -> None:
    (tmp_path / "s.csv").write_text("day,night\n1,2\n2,4\n", encoding="utf-8")
    np.save(tmp_path / "s.npy", np.array([[1, 2], [3, 6], [2, 4]]))
    done = run("run", series_pack(tmp_path), tmp_path / "s.csv", tmp_path / "s.npy")
    assert done.code == 0, done.err
    assert done.out.splitlines() == [
        f"{tmp_path / 's.csv'}: day 1.5 kWh, night 3 kWh", f"{tmp_path / 's.npy'}: day 2 kWh, night 4 kWh",
    ]  # fmt: skip


def no_rows(folder: Path) -> Path:
    (folder / "bad.csv").write_text("length,width,height,weight\n1,2,3,nan\n", encoding="utf-8")
    return folder / "bad.csv"


@pytest.mark.parametrize(
    ("first", "arguments", "message"),
    [
        (ROW, ["x.png"], "x.png is no file that this model reads; it takes a row of 4 numbers (length, width, height"),
        (ROW, ["x.csv"], "no table at x.csv; check the path"),
        (ROW, [no_rows], "bad.csv:2: column 'weight' holds 'nan'; a finite number belongs there"),
        (ROW, ["--text", "1,2"], "a row has 4 columns (length, width, height, weight); this one 2 values"),
        (SOUND, ["x.csv"], "x.csv is no file that this model reads; it takes a sound, cut or padded to 0.004 s"),
        (SOUND, ["--text", "hello"], "this model does not take text; it takes a sound"),
        (SOUND, ["x.wav"], "no sound at x.wav; check the path"),
    ],
    ids=["a-picture", "missing", "nan", "short", "rows-for-a-sound", "text-for-a-sound", "missing-sound"],
)
def test_what_does_not_fit_is_one_line(
    run: Run, tmp_path: Path, first: Step, arguments: list[Any], message: str
) -> None:
    given = [argument(tmp_path) if callable(argument) else argument for argument in arguments]
    done = run("run", pack(tmp_path, first, SCORES), *given)
    assert (done.code, done.out) == (1, "")
    (line,) = done.err.splitlines()
    assert message in line


# inspect


@pytest.mark.parametrize(
    ("first", "told"),
    [
        (
            ROW,
            "raw sample x: a row of 4 numbers (length, width, height, weight): a .csv file of rows; in Python a dict",
        ),
        (
            SOUND,
            "raw sample x: a sound, cut or padded to 0.004 s: a .wav file; in Python its path or bytes, or an array",
        ),
        (Step("scale", {"factor": 2}), "raw sample x: an array; its tensors with a batch axis: .npy or .npz"),
        (Step("hologram"), "raw sample: cannot be read here: unknown step 'hologram'"),
        (Step("row", {"columns": 3}), "raw sample: cannot be read here: step 'row' does not take these options"),
    ],
    ids=["row", "sound", "numbers", "newer", "hostile"],
)
def test_a_pack_tells_what_a_raw_sample_is(run: Run, tmp_path: Path, first: Step, told: str) -> None:
    done = run("inspect", pack(tmp_path, first, SCORES))
    assert done.code == 0
    assert any(line.startswith(told) for line in done.out.splitlines())
