"""Raw samples over HTTP: every kind of body, and results that people read."""

import base64
import io
import json
import wave
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import InputError, StepError
from edgepack.runtime.pictures import png
from edgepack.runtime.serve.http_samples import of_body, of_json
from edgepack.runtime.serve.http_wire import RefusedError
from edgepack.runtime.serve.messages import ModelMetadata, RawMetadata, TensorMetadata
from tests.runtime.serve.http_running import Running

PIXELS = np.arange(16, dtype=np.uint8).reshape(4, 4, 1) * 15
PNG = png(PIXELS)
ROW = {"a": 1, "b": 2, "c": 3, "d": 4}


def predicted(server: Running, model: str, **options: Any) -> Any:
    answer = server.ask("POST", f"/v2/models/{model}/predict", **options)
    assert answer.status_code == 200, answer.text
    return answer.json()["results"]


def wav(samples: int = 8_000) -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as recording:
        recording.setnchannels(1)
        recording.setsampwidth(2)
        recording.setframerate(8_000)
        recording.writeframes(np.zeros(samples, np.int16).tobytes())
    return file.getvalue()


def test_an_image_comes_as_a_file_as_base64_or_as_pixels(server: Running) -> None:
    first = predicted(server, "tiles", content=PNG, headers={"content-type": "image/png"})
    assert [score["label"] for score in first[0]] != []
    assert first[0][0]["score"] >= first[0][1]["score"]
    as_text = {"base64": base64.b64encode(PNG).decode()}
    for sample in (as_text, PIXELS.tolist()):
        assert predicted(server, "tiles", json={"sample": sample}) == first
    assert predicted(server, "tiles", content=PNG, headers={"content-type": "application/octet-stream"}) == first
    assert predicted(server, "tiles", json={"samples": [as_text, as_text]}) == first * 2


def test_a_row_comes_by_column_in_order_or_as_csv(server: Running) -> None:
    first = predicted(server, "row", json={"sample": ROW})
    assert predicted(server, "row", json={"sample": [1, 2, 3, 4]}) == first
    assert predicted(server, "row", content="1,2,3,4\n", headers={"content-type": "text/csv"}) == first
    table = "d,c,b,a\n4,3,2,1\n0,0,0,0\n"
    many = predicted(server, "row", content=table, headers={"content-type": "text/csv; charset=utf-8"})
    assert len(many) == 2
    assert many[:1] == first


def test_curl_says_a_form_where_it_is_told_nothing(server: Running) -> None:
    form = {"content-type": "application/x-www-form-urlencoded"}
    assert predicted(server, "row", content=json.dumps({"sample": ROW}), headers=form)


def test_a_sample_of_several_parts_comes_by_name(server: Running) -> None:
    result = predicted(server, "pair", json={"sample": {"a": [1, 2], "b": [3, 4]}})
    assert result == [{"total": [4.0, 6.0], "product": [3.0, 8.0]}]


def test_a_picture_comes_back_as_a_file(server: Running) -> None:
    (result,) = predicted(server, "picture", json={"sample": [0.5, 1, 2, 3]})
    assert result["shape"] == [1, 3, 1]
    assert base64.b64decode(result["png_base64"]).startswith(b"\x89PNG")


def test_the_answer_tells_who_answered_and_where_the_time_went(server: Running) -> None:
    body = {"samples": [ROW, ROW], "id": "mine", "timeout_ms": 5_000, "priority": 1}
    answer = server.ask("POST", "/v2/models/row/versions/1/predict", json=body).json()
    assert (answer["model_name"], answer["model_version"], answer["id"]) == ("row", "1", "mine")
    assert set(answer["milliseconds"]) == {"queue", "pre", "infer", "post"}
    assert len(answer["results"]) == 2


def test_results_are_those_of_the_session(server: Running, models: Any) -> None:
    with edgepack.load(models / "tiles.edgepack") as session:
        wanted = [(score.label, score.score) for score in session.predict(PIXELS)]
    found = predicted(server, "tiles", json={"sample": PIXELS.tolist()})[0]
    assert [(score["label"], score["score"]) for score in found] == wanted


WRONG = {
    "neither": ("row", {}, 400, "either"),
    "both": ("row", {"sample": ROW, "samples": [ROW]}, 400, "either"),
    "none": ("row", {"samples": []}, 400, "no sample"),
    "too-many": ("row", {"samples": [0] * 5_000}, 413, "5,000 samples"),
    "a-path-for-an-image": ("tiles", {"sample": "/etc/passwd"}, 400, "it is text"),
    "floats-for-pixels": ("tiles", {"sample": [[0.5]]}, 400, "whole numbers"),
    "pixels-beyond-255": ("tiles", {"sample": [[[300]]]}, 400, "0 to 255"),
    "ragged-pixels": ("tiles", {"sample": [[1, 2], [3]]}, 400, "cannot be read"),
    "no-base64": ("tiles", {"sample": {"base64": "!"}}, 400, "no base64"),
    "no-image": ("tiles", {"sample": {"base64": "AAAA"}}, 400, "image"),
    "a-key-too-many": ("tiles", {"sample": {"base64": "", "path": "x"}}, 400, "base64"),
    "a-column-missing": ("row", {"sample": {"a": 1}}, 400, "misses b"),
    "text-in-a-column": ("row", {"sample": {**ROW, "a": "x"}}, 400, "finite number"),
    "a-part-missing": ("pair", {"sample": {"a": [1, 2]}}, 400, "an object with a, b"),
    "no-object-for-parts": ("pair", {"sample": [1, 2]}, 400, "it is a list"),
    "no-steps-and-text": ("pair", {"sample": {"a": "x", "b": [1, 2]}}, 400, "it is text"),
    "no-deadline": ("row", {"sample": ROW, "timeout_ms": 0}, 400, "timeout_ms"),
    "no-priority": ("row", {"sample": ROW, "priority": -1}, 400, "priority"),
    "another-model": ("nothing", {"sample": 1}, 404, "no model"),
}


@pytest.mark.parametrize(("model", "body", "status", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_sample_is_told_why(server: Running, model: str, body: Any, status: int, why: str) -> None:
    answer = server.ask("POST", f"/v2/models/{model}/predict", json=body)
    assert answer.status_code == status, answer.text
    assert why in answer.json()["error"]


@pytest.mark.parametrize(
    ("model", "content_type", "status"),
    [("tiles", "image/png", 400), ("tiles", "text/csv", 415), ("row", "image/png", 415), ("row", "text/csv", 400),
     ("pair", "text/csv", 415), ("row", "application/json", 400)],
)  # fmt: skip
def test_a_body_of_another_type_is_refused(server: Running, model: str, content_type: str, status: int) -> None:
    answer = server.ask("POST", f"/v2/models/{model}/predict", content=b"\xff{", headers={"content-type": content_type})
    assert answer.status_code == status


def of_kind(kind: str, datatype: str = "FP32", **options: Any) -> ModelMetadata:
    tensor = TensorMetadata("x", datatype, (-1, 3))
    return ModelMetadata("m", ("1",), "1", "", (tensor,), (), (RawMetadata("x", kind, f"of kind {kind}", options),))


def test_texts_come_as_they_are_and_are_never_paths() -> None:
    assert of_json(of_kind("text"), "/etc/passwd") == "/etc/passwd"
    assert of_body(of_kind("text"), "text/plain", "你好\n".encode()) == ["你好\n"]
    for kind in ("image", "sound", "series", "array"):
        with pytest.raises(InputError, match="it is text"):
            of_json(of_kind(kind), "/etc/passwd")


def test_sounds_come_as_files_or_as_numbers() -> None:
    data = wav()
    assert of_body(of_kind("sound"), "audio/x-wav", data) == [data]
    assert of_json(of_kind("sound"), {"base64": base64.b64encode(data).decode()}) == data
    assert of_json(of_kind("sound"), [0, 0.5, -1]).dtype == np.float64


def test_series_come_as_csv_as_npy_or_as_numbers() -> None:
    model, wanted = of_kind("series", channels=2), [[1.0, 2.0], [3.0, 4.0]]
    assert of_body(model, "text/csv", b"up,down\n1,2\n3,4\n")[0].tolist() == wanted
    assert of_json(model, [[1, 2], [3, 4]]).tolist() == wanted
    file = io.BytesIO()
    np.save(file, np.array(wanted))
    assert of_body(model, "application/octet-stream", file.getvalue())[0].tolist() == wanted
    with pytest.raises(StepError, match="has 1 values"):
        of_body(model, "text/csv", b"1\n")
    with pytest.raises(InputError, match=r"no \.npy file"):
        of_body(model, "application/octet-stream", b"\x93NUMPY")


def test_whole_numbers_become_floats_where_the_model_takes_floats() -> None:
    assert of_json(of_kind("array"), [1, 2, 3]).dtype == np.float64
    assert of_json(of_kind("array", "INT64"), [1, 2, 3]).dtype == np.int64
    assert of_json(of_kind("array", "BYTES"), ["a", "b"]) == ["a", "b"]


@pytest.mark.parametrize(
    ("kind", "value"),
    [("text", 5), ("row", 5), ("row", None), ("image", None), ("sound", {"a": 1}), ("series", [["a"]]),
     ("array", [None]), ("array", [[1], [1, 2]]), ("series", [10**400]), ("image", [[]] * 3), ("array", {"x": 1})],
)  # fmt: skip
def test_values_of_another_kind_are_told_apart(kind: str, value: Any) -> None:
    with pytest.raises(InputError):
        of_json(of_kind(kind), value)


def test_a_type_that_no_sample_of_the_model_has_is_told_those_it_takes() -> None:
    with pytest.raises(RefusedError, match=r"it takes audio/\*, application/octet-stream, application/json") as raised:
        of_body(of_kind("sound"), "image/png", b"")
    assert raised.value.status == 415


@pytest.mark.parametrize("form", ["csv", "json"])
def test_many_rows_at_once_are_read_beside_the_event_loop_and_answered(server: Running, form: str) -> None:
    if form == "csv":
        row = "1.00000000000000000000000000,2.00000000000000000000000000,3.00000000000000000000000000,4\n"
        body = {"content": "a,b,c,d\n" + row * 4_000, "headers": {"content-type": "text/csv"}}
    else:
        samples = [{name: value + 0.123456789012345 for name, value in ROW.items()}] * 4_000
        body = {"content": json.dumps({"samples": samples})}
    assert len(body["content"]) > 262_144
    assert len(predicted(server, "row", **body)) == 4_000
