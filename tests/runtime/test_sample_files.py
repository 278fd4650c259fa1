"""Files of raw samples, read as the first step of a pack says; and what `session.predict` makes of them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.runtime.errors import EdgepackError, InputError, MissingFileError, StepError
from edgepack.runtime.manifest import Step, Steps
from edgepack.runtime.sample_files import holds_many, holds_tensors, pieces, read
from edgepack.runtime.session import Session
from edgepack.runtime.steps.raw import RawValue, raw_values
from edgepack.runtime.tensor import TensorSpec
from tests.fakes import FakeEngine, spec

COLUMNS = ["age", "bmi"]
TAKE_TEXT = Step("take", {"name": "x", "shape": [1], "dtype": "string"})
FIRST = {
    "image": Step("image", {"mode": "rgb"}),
    "row": Step("row", {"columns": COLUMNS}),
    "series": Step("series", {"length": None, "channels": 2}),
    "sound": Step("sound", {"rate": 8000, "seconds": 0.5}),
    "text": TAKE_TEXT,
    "array": Step("scale", {"factor": 2}),
}


def raw(kind: str) -> tuple[RawValue, ...]:
    return (RawValue("x", FIRST[kind]),)


def file(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_bytes(text.encode())
    return folder / name


# what a raw sample is


@pytest.mark.parametrize("kind", FIRST)
def test_the_first_step_says_what_a_sample_is(kind: str) -> None:
    steps = Steps(inputs={"x": (FIRST[kind],)})
    (value,) = raw_values([TensorSpec("x", (None, 2), "float32")], steps)
    assert (value.name, value.kind) == ("x", kind)
    gathered = Step(
        "gather", {"of": [{"name": "y", "steps": [{"step": FIRST[kind].step, "options": FIRST[kind].options}]}]}
    )
    (value,) = raw_values([TensorSpec("x", (None, 2), "float32")], Steps(inputs={"x": (gathered,)}))
    assert (value.name, value.kind) == ("y", kind)


@pytest.mark.parametrize(
    ("value", "told"),
    [
        (raw("row")[0], "a row of 2 numbers (age, bmi): a .csv file of rows; in Python a dict by column"),
        (
            raw("sound")[0],
            "a sound, cut or padded to 0.5 s: a .wav file; in Python its path or bytes, or an array of samples",
        ),
        (
            RawValue("x", Step("series", {"length": 1200, "channels": 3})),
            "a series of (time, 3) numbers, cut or padded to 1,200 steps: a .csv or .npy file",
        ),
        (raw("text")[0], "a text: a .txt file with one a line"),
        (raw("image")[0], "an image: a file that Pillow reads"),
        (
            RawValue("x", Step("take", {"name": "x", "shape": [28, None], "dtype": "uint8"})),
            "an array uint8 (28, any);",
        ),
        (RawValue("x", None), "an array; its tensors with a batch axis: .npy or .npz"),
    ],
    ids=["row", "sound", "series", "text", "image", "take", "nothing"],
)  # fmt: skip
def test_a_raw_sample_is_told_in_words(value: RawValue, told: str) -> None:
    assert value.told.startswith(told)


def test_inputs_that_do_not_agree_on_a_value_leave_it_an_array() -> None:
    def gather(step: Step) -> tuple[Step, ...]:
        return (Step("gather", {"of": [{"name": "x", "steps": [{"step": step.step, "options": step.options}]}]}),)

    inputs = [TensorSpec("a", (None, 2), "float32"), TensorSpec("b", (None, 2), "float32")]
    steps = Steps(inputs={"a": gather(FIRST["row"]), "b": gather(FIRST["text"])})
    assert [value.kind for value in raw_values(inputs, steps)] == ["array"]
    steps = Steps(inputs={"a": gather(FIRST["row"]), "b": gather(FIRST["row"])})
    assert [value.kind for value in raw_values(inputs, steps)] == ["row"]


# rows


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("40,21.5\n50,30\n", [1, 2]),
        ("age,bmi\n40,21.5\n50,30", [2, 3]),
        ("bmi,age\n21.5,40\n30,50\n", [2, 3]),
        ("\ufeffname, bmi ,age\nAnn,21.5,40\n\n\"Bob, jr\",30,50\n", [2, 4]),
        ("id,age,note,bmi\r\n1,40,\"two\r\nlines\",21.5\r\n2,50,,30\r\n", [3, 4]),
    ],
    ids=["no-header", "header", "other-order", "other-columns-and-empty-lines", "quoted-line-end"],
)  # fmt: skip
def test_a_row_is_read_from_each_line(tmp_path: Path, text: str, lines: list[int]) -> None:
    path = file(tmp_path, "rows.csv", text)
    found = read(raw("row"), path)
    assert [name for name, _ in found] == [f"{path}:{line}" for line in lines]
    assert [sample.tolist() for _, sample in found] == [[40, 21.5], [50, 30]]


def test_columns_that_look_like_numbers_are_found_in_a_header(tmp_path: Path) -> None:
    path = file(tmp_path, "rows.csv", "1,0\n7,8\n")
    ((_, sample),) = read((RawValue("x", Step("row", {"columns": ["0", "1"]})),), path)
    assert sample.tolist() == [8, 7]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("age,weight\n1,2\n", r"rows\.csv:1 is a header without bmi; it takes the columns age, bmi"),
        ("age,bmi,age\n1,2,3\n", r"rows\.csv:1 names column age twice; name each once"),
        ("1,2,3\n", r"rows\.csv:1 has 3 values, separated by commas; a row has 2: it has 2 columns \(age, bmi\)"),
        ("age,bmi,id\n1,2,3\n1,2\n", r"rows\.csv:3 has 2 values, separated by commas; a row has 3: its header"),
        ("1,2\n1,nan\n", r"rows\.csv:2: column 'bmi' holds 'nan'; a finite number belongs there"),
        ("1,2\n,3\n", r"rows\.csv:2: column 'age' holds nothing; a finite number belongs there"),
        ("1,x\n", r"rows\.csv:1: column 'bmi' holds 'x'"),
        ("", r"holds no rows; it takes one a line, with the columns age, bmi"),
        ("age,bmi\n", r"holds no rows"),
    ],
    ids=["missing", "twice", "too-many", "too-few", "nan", "empty", "text", "nothing", "only-a-header"],
)
def test_a_line_that_is_no_row_is_told_with_its_number(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(StepError, match=message):
        read(raw("row"), file(tmp_path, "rows.csv", text))


# texts and whole files


def test_a_text_is_read_from_each_line(tmp_path: Path) -> None:
    path = file(tmp_path, "t.txt", "很好\r\n\nlast")
    assert read(raw("text"), path) == [(f"{path}:1", "很好"), (f"{path}:2", ""), (f"{path}:3", "last")]


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        ("image", "x.png"), ("image", "x"), ("image", "x.JPG"), ("series", "x.csv"), ("series", "x.npy"),
        ("sound", "x.WAV"),
    ],
)  # fmt: skip
def test_a_file_that_is_one_sample_is_left_to_its_step(kind: str, name: str) -> None:
    assert read(raw(kind), name) == [(name, Path(name))]


@pytest.mark.parametrize(
    ("kind", "name", "message"),
    [
        ("image", "x.csv", r"x\.csv is no file that this model reads; it takes an image: a file that Pillow reads"),
        ("image", "x.wav", r"it takes an image"),
        ("row", "x.png", r"x\.png is no file that this model reads; it takes a row of 2 numbers \(age, bmi\)"),
        ("row", "x", r"it takes a row"),
        ("series", "x.wav", r"it takes a series"),
        ("sound", "x.mp3", r"x\.mp3 is no file that this model reads; it takes a sound.* a \.wav file"),
        ("text", "x.csv", r"it takes a text: a \.txt file"),
        ("array", "x.csv", r"this model has no steps to read x\.csv with; it takes an array.* \.npy or \.npz"),
    ],
)
def test_another_kind_of_file_is_told_with_what_is_taken(kind: str, name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read(raw(kind), Path(name))


def test_one_file_cannot_be_a_sample_of_several_values() -> None:
    with pytest.raises(InputError, match=r"has 2 parts \(x, y\), and x\.csv is one file: give all tensors as \.npz"):
        read((*raw("row"), RawValue("y", None)), Path("x.csv"))


@pytest.mark.parametrize(("kind", "name"), [("row", "x.csv"), ("text", "x.txt")])
def test_a_path_that_leads_to_no_file_says_so(tmp_path: Path, kind: str, name: str) -> None:
    with pytest.raises(MissingFileError, match=f"at .*{name}; check the path"):
        read(raw(kind), tmp_path / name)
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match="is a pipe or a device"):
        read(raw(kind), tmp_path / name)


def test_arrays_in_files_are_tensors_unless_they_are_series() -> None:
    assert holds_tensors(raw("row"), Path("x.NPZ"))
    assert holds_tensors(raw("image"), Path("x.npy"))
    assert not holds_tensors(raw("series"), Path("x.npy"))
    assert not holds_tensors(raw("row"), Path("x.csv"))


def test_only_files_of_rows_and_texts_hold_many() -> None:
    assert [kind for kind in FIRST if holds_many(raw(kind))] == ["row", "text"]
    assert not holds_many((*raw("row"), *raw("text")))


def test_many_samples_come_in_pieces() -> None:
    samples = [(str(index), index) for index in range(600)]
    assert [len(piece) for piece in pieces(samples)] == [256, 256, 88]
    assert [one for piece in pieces(samples) for one in piece] == samples


# through a session


def session(kind: str, *sizes: int | None, after: tuple[Step, ...] = ()) -> Session:
    engine = FakeEngine([spec("x", None, *sizes)], [spec("y", None, *sizes)], lambda feeds: [feeds["x"] * 2])
    return Session(engine, "fake", steps=Steps(inputs={"x": (FIRST[kind],)}, outputs={"y": after} if after else {}))


@pytest.mark.parametrize(
    "sample", [{"age": 1, "bmi": 2}, {"x": {"age": 1, "bmi": 2}}, {"x": [1, 2]}, np.array([1, 2]), "1,2"], ids=repr
)
def test_a_dict_an_array_and_a_line_are_one_row(sample: Any) -> None:
    assert session("row", 2).predict(sample).tolist() == [2, 4]


@pytest.mark.parametrize(
    "sample", [[[1, 2], [3, 4]], ([1, 2], "3,4"), [{"age": 1, "bmi": 2}, np.array([3, 4])]], ids=repr
)
def test_a_list_is_a_batch_of_rows(sample: Any) -> None:
    assert [row.tolist() for row in session("row", 2).predict(sample)] == [[2, 4], [6, 8]]


def test_one_row_as_a_list_is_told_how_to_be_given() -> None:
    with pytest.raises(
        InputError, match=r"a list is a batch of rows, so put one row into a list of its own \(\[\[1, 2,"
    ):
        session("row", 2).predict([1.0, 2.0])


def test_a_column_may_be_called_as_the_input() -> None:
    engine = FakeEngine([spec("x", None, 1)], [spec("y", None, 1)], lambda feeds: [feeds["x"] * 2])
    found = Session(engine, "fake", steps=Steps(inputs={"x": (Step("row", {"columns": ["x"]}),)}))
    assert found.predict({"x": 3}).tolist() == [6]


def test_a_wrong_name_of_a_column_is_told() -> None:
    with pytest.raises(InputError, match=r"this one misses bmi and has unknown bim"):
        session("row", 2).predict({"age": 1, "bim": 2})


def test_a_path_of_rows_is_all_of_them(tmp_path: Path) -> None:
    path = file(tmp_path, "rows.csv", "age,bmi\n" + "".join(f"{index},1\n" for index in range(300)))
    found = session("row", 2).predict(path)
    assert [row.tolist() for row in found] == [[2 * index, 2] for index in range(300)]


@pytest.mark.parametrize(("kind", "sizes"), [("series", (None, 2)), ("sound", (4000,))])
def test_a_path_of_one_sample_is_one_result(tmp_path: Path, kind: str, sizes: tuple[int | None, ...]) -> None:
    from tests.runtime.test_steps_recording import wav

    path = file(tmp_path, "s.csv", "1,2\n3,4\n")
    if kind == "sound":
        path = tmp_path / "s.wav"
        path.write_bytes(wav(np.full(4000, 0.25)))
    wanted = [[2, 4], [6, 8]] if kind == "series" else [0.5] * 4000
    for sample in (path, str(path)):
        assert session(kind, *sizes).predict(sample).tolist() == wanted
    assert len(session(kind, *sizes).predict([path, path])) == 2


def test_sounds_of_different_length_say_to_run_them_one_by_one() -> None:
    engine = FakeEngine([spec("x", None, None)], [spec("y", None, None)], lambda feeds: [feeds["x"]])
    loose = Session(engine, "fake", steps=Steps(inputs={"x": (Step("sound", {"rate": 8000}),)}))
    with pytest.raises(InputError, match=r"differ in shape \(\(3,\), \(4,\)\); run them one by one"):
        loose.predict([np.zeros(3), np.zeros(4)])


def test_a_session_tells_which_outputs_are_pictures() -> None:
    assert session("row", 2).picture_outputs == ()
    drawn = session("row", 2, after=(Step("picture", {"height": 1, "width": 2}),))
    assert drawn.picture_outputs == ("y",)
    assert drawn.predict("0.25,9").tolist() == [[[128], [255]]]


@pytest.mark.parametrize("kind", FIRST)
@pytest.mark.parametrize(
    "sample",
    [Path("nothing.x"), 3, None, [None], [[]], {}, {"a": 1}, b"", "", pytest.param(object(), id="an object")],
    ids=repr,
)
def test_whatever_is_given_is_answered_or_refused_in_words(kind: str, sample: Any) -> None:
    with pytest.raises(EdgepackError):
        session(kind, 2).predict(sample)
