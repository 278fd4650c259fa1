"""What results look like on a line and in JSON, and pictures as files."""

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image  # noqa: TID253 - the reader that our files must please

from edgepack.runtime.errors import OutputError
from edgepack.runtime.pictures import picture_places, png, write_pictures
from edgepack.runtime.results import line, plain
from edgepack.runtime.steps.outputs import Score, Value

RESULTS: dict[str, tuple[Any, str, Any]] = {
    "scores": (
        [Score("yes", 0.9321), Score("no", 0.0679)], "yes (93.2%), no (6.8%)",
        [{"label": "yes", "score": 0.9321}, {"label": "no", "score": 0.0679}],
    ),
    "value": (Value("", 12.3, "degC"), "12.3 degC", {"name": "", "number": 12.3, "unit": "degC"}),
    "values": (
        [Value("low", 1.0, "m"), Value("high", 2.5, "m")], "low 1 m, high 2.5 m",
        [{"name": "low", "number": 1.0, "unit": "m"}, {"name": "high", "number": 2.5, "unit": "m"}],
    ),
    "array": (np.array([1, 2], np.float32), "[1. 2.]", [1.0, 2.0]),
    "picture": (Path("a-y.png"), "a-y.png", "a-y.png"),
    "several": (
        {"y": [Score("a", 1.0)], "z": Value("", 3.0, "%"), "p": Path("p.png")}, "y a (100.0%); z 3 %; p p.png",
        {"y": [{"label": "a", "score": 1.0}], "z": {"name": "", "number": 3.0, "unit": "%"}, "p": "p.png"},
    ),
}  # fmt: skip


@pytest.mark.parametrize(("result", "text", "data"), RESULTS.values(), ids=RESULTS)
def test_a_result_is_one_line_and_plain_data(result: Any, text: str, data: Any) -> None:
    assert line(result) == text
    assert plain(result) == data
    json.dumps(plain(result))


def test_what_a_terminal_would_obey_is_not_shown() -> None:
    hostile = [Score("\x1b[2Jgone\u202e\n", 0.5), Value("\x07", 1.0, "\x9b31m")]
    assert line(hostile) == "\ufffd[2Jgone\ufffd\ufffd (50.0%), \ufffd 1 \ufffd31m"
    assert line({"\x1b]0;x": Path("p.png")}) == "\ufffd]0;x p.png"


# pictures


@pytest.mark.parametrize("shape", [(1, 1, 1), (3, 5, 1), (4, 2, 3)], ids=str)
def test_a_written_picture_is_read_back_the_same(shape: tuple[int, int, int]) -> None:
    pixels = np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)
    read = Image.open(io.BytesIO(png(pixels)))
    assert read.mode == ("L" if shape[2] == 1 else "RGB")
    np.testing.assert_array_equal(np.asarray(read).reshape(shape), pixels)


def test_pictures_are_named_after_sample_line_and_output(tmp_path: Path) -> None:
    found = picture_places(["a/seven.png", "b/rows.csv:12", "C:x", "很好"], ["again"], tmp_path, force=False)
    assert [place["again"].name for place in found] == [
        "seven-again.png", "rows-12-again.png", "C-x-again.png", "很好-again.png",
    ]  # fmt: skip


def test_samples_of_one_name_get_pictures_of_their_own(tmp_path: Path) -> None:
    found = picture_places(["a/seven.png", "b/seven.jpg", "SEVEN"], ["y"], tmp_path, force=True)
    assert [place["y"].name for place in found] == ["seven-y.png", "seven-y-2.png", "SEVEN-y-3.png"]


@pytest.mark.parametrize("name", ["../../outside", "/etc/passwd", "..", "", "a\0b", "x" * 500, "\u202egnp"], ids=repr)
def test_no_name_of_an_output_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    (place,) = picture_places(["seven.png"], [name], tmp_path, force=False)
    assert place[name].parent == tmp_path
    assert place[name].name.isprintable()
    write_pictures(np.zeros((1, 1, 1), np.uint8), place, name)
    assert [file.name for file in tmp_path.iterdir()] == [place[name].name]


def test_nothing_is_replaced_without_force(tmp_path: Path) -> None:
    (tmp_path / "seven-y.png").write_bytes(b"mine")
    with pytest.raises(OutputError, match=r"seven-y\.png exists already; pass --force"):
        picture_places(["seven.png"], ["y"], tmp_path, force=False)
    (place,) = picture_places(["seven.png"], ["y"], tmp_path, force=True)
    assert write_pictures(np.zeros((1, 1, 1), np.uint8), place, "y") == tmp_path / "seven-y.png"
    assert (tmp_path / "seven-y.png").read_bytes() != b"mine"


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"there is no folder .*new; create it first"):
        picture_places(["seven.png"], ["y"], tmp_path / "new", force=False)


def test_only_pictures_become_files(tmp_path: Path) -> None:
    (place,) = picture_places(["s"], ["p"], tmp_path, force=False)
    scores = [Score("a", 1.0)]
    assert write_pictures({"p": np.zeros((1, 1, 3), np.uint8), "y": scores}, place, "y") == {
        "p": tmp_path / "s-p.png", "y": scores,
    }  # fmt: skip
    assert write_pictures(scores, {}, "y") is scores
