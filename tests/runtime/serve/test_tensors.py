"""The codec of the protocol: what comes in is what went out, and nothing hostile gets further than an error of ours."""

import contextlib
import json
import random
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from edgepack.runtime.errors import InputError, TooLargeError
from edgepack.runtime.serve.datatypes import NUMPY
from edgepack.runtime.serve.messages import InferAnswer, InferRequest
from edgepack.runtime.serve.settings import Limits
from edgepack.runtime.serve.tensors import (
    Binary,
    decode_answer,
    decode_request,
    encode_answer,
    encode_request,
    takes_time,
)
from edgepack.runtime.tensor import Array

LIMITS = Limits(tensors=4, nesting=5)


def request(*inputs: dict[str, Any], **more: Any) -> bytes:
    return json.dumps({"inputs": inputs, **more}).encode()


def tensor(data: Any, shape: Any = (2,), datatype: str = "FP32", **more: Any) -> dict[str, Any]:
    return {"name": "x", "shape": shape, "datatype": datatype, "data": data, **more}


def decoded(body: bytes, header_length: int | None = None) -> InferRequest:
    return decode_request(body, header_length, model="m", limits=LIMITS)[0]


def array_of(body: bytes, header_length: int | None = None) -> Array:
    return decoded(body, header_length).inputs["x"]


numbers = st.sampled_from([name for name in NUMPY if name != "BYTES"]).flatmap(
    lambda name: arrays.arrays(
        NUMPY[name], arrays.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
        elements={"allow_nan": False, "allow_infinity": False} if name.startswith("FP") else None,
    )
)  # fmt: skip
texts = st.lists(st.text(st.characters(exclude_categories=["Cs"])), max_size=6).map(
    lambda found: np.array([text.encode() for text in found] or np.empty(0), dtype=object)
)


@given(st.dictionaries(st.text(max_size=5), numbers | texts, min_size=1, max_size=4), st.booleans(), st.booleans())
@settings(max_examples=100, deadline=None)
def test_a_request_comes_in_as_it_went_out(inputs: dict[str, Array], binary: bool, binary_outputs: bool) -> None:
    told = InferRequest("m", inputs, "2", "id", tuple(inputs), {"a": 1}, timeout_s=0.25, priority=9)
    wire = encode_request(told, binary=binary, binary_outputs=binary_outputs)
    found, asked = decode_request(*wire, model="m", version="2")
    assert (found.id, found.version, found.outputs, found.timeout_s, found.priority) == (
        "id", "2", tuple(inputs), 0.25, 9,
    )  # fmt: skip
    assert found.parameters["a"] == 1
    assert all(asked.named[name] is binary_outputs for name in inputs)
    assert list(found.inputs) == list(inputs)
    for name, array in inputs.items():
        np.testing.assert_array_equal(found.inputs[name], array)
        assert found.inputs[name].dtype == array.dtype
        assert found.inputs[name].shape == array.shape


@given(st.dictionaries(st.text(max_size=5), numbers | texts, max_size=4), st.data())
@settings(max_examples=100, deadline=None)
def test_an_answer_comes_in_as_it_went_out(outputs: dict[str, Array], data: st.DataObject) -> None:
    named = {name: data.draw(st.booleans()) for name in outputs}
    wire = encode_answer(InferAnswer("m", "3", outputs, "id", {"b": 2.5}), Binary(named=named))
    assert (wire.header_length is not None) is any(named.values())
    found = decode_answer(*wire)
    assert (found.model, found.version, found.id, found.parameters) == ("m", "3", "id", {"b": 2.5})
    for name, array in outputs.items():
        np.testing.assert_array_equal(found.outputs[name], array)


@pytest.mark.parametrize(
    "data", [[1, 2, 3, 4, 5, 6], [[1, 2, 3], [4, 5, 6]], [1.0, 2, 3, 4, 5, 6]], ids=["flat", "nested", "mixed"]
)
def test_data_is_flat_or_nested_as_its_shape(data: list[Any]) -> None:
    array = array_of(request(tensor(data, (2, 3))))
    assert array.tolist() == [[1, 2, 3], [4, 5, 6]]
    assert array.dtype == np.float32


def test_binary_data_is_a_view_of_the_body() -> None:
    wire = encode_request(InferRequest("m", {"x": np.arange(6, dtype=np.float32)}))
    array = array_of(*wire)
    assert np.shares_memory(array, np.frombuffer(wire.body, np.uint8))
    assert array.flags.aligned


def test_binary_data_at_an_odd_place_is_brought_to_a_whole_word() -> None:
    array = np.arange(6, dtype=np.float64)
    header = request({"name": "x", "shape": [6], "datatype": "FP64", "parameters": {"binary_data_size": 48}})
    for blanks in range(8):
        padded = header + b" " * blanks
        found = array_of(padded + array.tobytes(), len(padded))
        assert found.flags.aligned
        np.testing.assert_array_equal(found, array)


def test_what_json_cannot_hold_is_null_in_answers_and_kept_in_binary() -> None:
    values = np.array([np.nan, np.inf, -np.inf, 1.5], np.float32)
    answer = InferAnswer("m", "1", {"y": values})
    wire = encode_answer(answer)
    assert json.loads(wire.body, parse_constant=pytest.fail)["outputs"][0]["data"] == [None, None, None, 1.5]
    found = decode_answer(*wire).outputs["y"]
    assert np.isnan(found[:3]).all()
    assert found[3] == 1.5
    np.testing.assert_array_equal(decode_answer(*encode_answer(answer, Binary(True))).outputs["y"], values)


def test_text_that_is_not_utf_8_needs_binary() -> None:
    answer = InferAnswer("m", "1", {"y": np.array([b"\xff"], object)})
    with pytest.raises(InputError, match="as binary data"):
        encode_answer(answer)
    assert decode_answer(*encode_answer(answer, Binary(True))).outputs["y"].tolist() == [b"\xff"]


def test_numbers_keep_all_their_digits() -> None:
    assert array_of(request(tensor([2**63 - 1, -(2**63)], datatype="INT64"))).tolist() == [2**63 - 1, -(2**63)]
    assert array_of(request(tensor([2**64 - 1, 0], datatype="UINT64"))).tolist() == [2**64 - 1, 0]
    third = np.float32(1 / 3)
    answer = decode_answer(*encode_answer(InferAnswer("m", "1", {"y": np.array([third])})))
    assert answer.outputs["y"][0] == third


def test_all_or_some_outputs_are_asked_for_as_binary() -> None:
    one, other = {"name": "a"}, {"name": "b", "parameters": {"binary_data": False}}
    body = request(tensor([1, 2]), outputs=[one, other], parameters={"binary_data_output": True})
    found, binary = decode_request(body, None, model="m")
    assert found.outputs == ("a", "b")
    assert binary.named == {"a": True, "b": False}
    assert decode_request(request(tensor([1, 2]), parameters={"binary_data_output": True}), None, model="m")[1].default


BINARY = {"name": "x", "shape": [2], "datatype": "FP32"}
WRONG = {
    "no-json": (b"{", None, "no JSON"),
    "empty": (b"", None, "no JSON"),
    "a-list": (b"[]", None, "not as the protocol has it"),
    "no-inputs": (b"{}", None, "inputs"),
    "nothing-but-nan": (request(tensor([float("nan"), 1])), None, "no JSON"),
    "null": (request(tensor([None, 1])), None, "JSON has no NaN"),
    "text-for-numbers": (request(tensor(["a", 1])), None, "does not fit"),
    "objects": (request(tensor([{}, 1])), None, "does not fit"),
    "too-few": (request(tensor([1])), None, "takes 2 elements; its data has 1"),
    "too-many": (request(tensor([1, 2, 3])), None, "takes 2 elements; its data has 3"),
    "negative-size": (request(tensor([1], [-1])), None, "shape"),
    "fraction-as-size": (request(tensor([1], [1.5])), None, "shape"),
    "huge-beside-nothing": (request(tensor([], [0, 2**62, 2**62])), None, "cannot have shape"),
    "huge": (request(tensor([1], [2**60])), None, "elements"),
    "nested-otherwise": (request(tensor([[1], [2]])), None, "not nested as its shape"),
    "ragged": (request(tensor([[1, 2], [3]], [2, 2])), None, "not nested as its shape"),
    "unknown-datatype": (request(tensor([1, 2], datatype="BF16")), None, "unknown datatype 'BF16'"),
    "too-large-for-int8": (request(tensor([1, 128], datatype="INT8")), None, "does not fit"),
    "negative-for-unsigned": (request(tensor([1, -1], datatype="UINT64")), None, "does not fit"),
    "fraction-for-int": (request(tensor([1, 1.5], datatype="INT32")), None, "does not fit"),
    "too-large-for-float16": (request(tensor([1, 65536.0], datatype="FP16")), None, "does not fit"),
    "too-large-for-float32": (request(tensor([1, 1e39])), None, "does not fit"),
    "number-for-bool": (request(tensor([1, 0], datatype="BOOL")), None, "true and false alone"),
    "number-for-text": (request(tensor(["a", 1], datatype="BYTES")), None, "takes text"),
    "half-a-character": (
        b'{"inputs":[{"name":"x","shape":[1],"datatype":"BYTES","data":["\\ud800"]}]}', None, "no JSON",
    ),
    "twice": (request(tensor([1, 2]), tensor([1, 2])), None, "comes twice"),
    "no-data": (request(BINARY), None, "has no data"),
    "size-without-bytes": (request({**BINARY, "parameters": {"binary_data_size": 8}}), None, "0 are left"),
    "size-as-text": (request({**BINARY, "parameters": {"binary_data_size": "8"}}), None, "number of its bytes"),
    "data-and-size": (
        request({**tensor([1, 2]), "parameters": {"binary_data_size": 0}}), None, "takes data, or the number",
    ),
    "nested-parameter": (request(tensor([1, 2]), parameters={"a": {}}), None, "parameters"),
    "timeout-as-text": (request(tensor([1, 2]), parameters={"timeout": "1"}), None, "whole number"),
    "negative-timeout": (request(tensor([1, 2]), parameters={"timeout": -1}), None, "microseconds"),
    "negative-priority": (request(tensor([1, 2]), parameters={"priority": -1}), None, "1 for what goes first"),
    "header-beyond-the-body": (request(tensor([1, 2])), 10_000, "and the body has"),
    "header-of-nothing": (request(tensor([1, 2])), 0, "and the body has"),
    "deep": (b'{"inputs":' + b"[" * 100_000, None, "inputs"),
    "deep-data": (b'{"inputs":[{"name":"x","shape":[1],"datatype":"FP32","data":' + b"[" * 100_000, None, "no JSON"),
}  # fmt: skip


@pytest.mark.parametrize(("body", "header_length", "why"), WRONG.values(), ids=WRONG)
def test_a_wrong_request_is_told_why(body: bytes, header_length: int | None, why: str) -> None:
    with pytest.raises(InputError) as raised:
        decoded(body, header_length)
    assert why in str(raised.value)


def binary_request(data: bytes, datatype: str, shape: list[int], size: int | None = None) -> tuple[bytes, int]:
    size = len(data) if size is None else size
    header = request({"name": "x", "shape": shape, "datatype": datatype, "parameters": {"binary_data_size": size}})
    return header + data, len(header)


WRONG_BYTES = {
    "too-few": (b"1234567", "FP32", [2], None, "takes 8 bytes; it has 7"),
    "claims-more": (b"12345678", "FP32", [2], 9, "says 9 bytes of binary data, and 8 are left"),
    "left-over": (b"12345678", "FP32", [1], 4, "4 bytes follow that belong to no tensor"),
    "bool-of-2": (b"\x00\x02", "BOOL", [2], None, "neither 0 nor 1"),
    "text-cut-off": (b"\x05\0\0\0abcd", "BYTES", [1], None, "is cut off"),
    "length-cut-off": (b"\x02\0\0\0ab\x01\0", "BYTES", [2], None, "is cut off"),
    "text-left-over": (b"\x01\0\0\0ab", "BYTES", [1], None, "1 bytes behind"),
    "many-texts": (b"\0\0\0\0", "BYTES", [2**40], None, "do not even hold their lengths"),
}


@pytest.mark.parametrize(("data", "datatype", "shape", "size", "why"), WRONG_BYTES.values(), ids=WRONG_BYTES)
def test_wrong_binary_data_is_told_why(
    data: bytes, datatype: str, shape: list[int], size: int | None, why: str
) -> None:
    with pytest.raises(InputError) as raised:
        decoded(*binary_request(data, datatype, shape, size))
    assert why in str(raised.value)


@pytest.mark.parametrize(
    "body",
    [
        request(*({**tensor([1, 2]), "name": str(number)} for number in range(5))),
        request(tensor([1], [1] * 6)),
        request(tensor([1, 2]), outputs=[{"name": str(number)} for number in range(5)]),
    ],
    ids=["inputs", "axes", "outputs"],
)
def test_more_than_the_limits_allow_is_too_large(body: bytes) -> None:
    with pytest.raises(TooLargeError):
        decoded(body)


names = st.sampled_from(["x", "y", ""]) | st.text(max_size=3)
shapes = st.lists(st.integers(-1, 4) | st.sampled_from([2**31, 2**63, 2**64, 1.5, "2", None]), max_size=7)
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=4), max_leaves=8)
asked = st.dictionaries(
    st.sampled_from(["binary_data_size", "binary_data", "binary_data_output", "timeout", "priority", "sequence_id"]),
    st.integers(-1, 40) | leaves, max_size=3,
)  # fmt: skip
some_tensors = st.fixed_dictionaries(
    {},
    optional={
        "name": names | leaves, "shape": shapes | values, "datatype": st.sampled_from([*NUMPY, "BF16", "", None]),
        "data": values | st.lists(st.integers(0, 1), max_size=8), "parameters": asked | leaves,
    },
)  # fmt: skip
some_requests = st.fixed_dictionaries(
    {"inputs": st.lists(some_tensors, max_size=5) | values},
    optional={
        "id": leaves, "parameters": asked | leaves, "outputs": st.lists(some_tensors, max_size=5) | values,
        "model_name": names, "model_version": names,
    },
)  # fmt: skip


CLIENTS = (InputError, TooLargeError)  # what a client is told with 400 and 413
MUTATIONS = 10


def hold(whole: dict[str, Any], behind: bytes, seed: int) -> None:
    """Bodies of some JSON, cut, flipped and with bytes behind, give a request or an error that a client is told."""
    header = json.dumps(whole).encode()
    rng = random.Random(seed)
    for _ in range(MUTATIONS):
        body = bytearray(header + behind)
        for _ in range(rng.choice((0, 0, 1, 3))):
            body[rng.randrange(len(body))] ^= 1 << rng.randrange(8)
        body = body[: len(body) - rng.choice((0, 0, rng.randrange(len(body))))]
        length = rng.choice((None, len(header), len(header) + rng.randrange(-9, 9)))
        for decode in (request_in, answer_in):
            with contextlib.suppress(*CLIENTS):
                encode_answer(decode(bytes(body), length), Binary(True))


def request_in(body: bytes, length: int | None) -> InferAnswer:
    return InferAnswer("m", "1", decode_request(body, length, model="m", limits=LIMITS)[0].inputs)


def answer_in(body: bytes, length: int | None) -> InferAnswer:
    return decode_answer(body, length)


fuzzed = given(some_requests, st.binary(max_size=40), st.integers(0, 2**32))
patient = settings(deadline=None, suppress_health_check=list(HealthCheck), database=None)


@fuzzed
@settings(patient, max_examples=3_000 // MUTATIONS)
def test_no_body_breaks_the_codec(whole: dict[str, Any], behind: bytes, seed: int) -> None:
    hold(whole, behind, seed)


@pytest.mark.slow
@fuzzed
@settings(patient, max_examples=100_000 // MUTATIONS)
def test_no_body_of_a_hundred_thousand_breaks_the_codec(whole: dict[str, Any], behind: bytes, seed: int) -> None:
    hold(whole, behind, seed)


@given(st.binary(max_size=300), st.none() | st.integers(-5, 300))
@settings(max_examples=200, deadline=None)
def test_no_bytes_at_all_break_the_codec(body: bytes, header_length: int | None) -> None:
    with pytest.raises(CLIENTS):
        decode_request(body, header_length, model="m")


def test_the_json_is_as_small_as_it_may_be() -> None:
    wire = encode_answer(InferAnswer("m", "1", {"y": np.zeros(1, np.float32)}))
    assert msgspec.json.decode(wire.body) == {
        "model_name": "m", "model_version": "1",
        "outputs": [{"name": "y", "shape": [1], "datatype": "FP32", "data": [0.0]}],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("body", "length", "is_long"),
    [(b"{}", None, True), (b"{" + b" " * 99, 60, True), (b"{}" + b"\0" * 98, 2, False),
     (b'{"datatype":"BYTES"}' + b"\0" * 98, 20, True)],
    ids=["json", "mostly-json", "numbers", "text"],
)  # fmt: skip
def test_only_bodies_that_are_read_element_by_element_take_time(body: bytes, length: int | None, is_long: bool) -> None:
    assert takes_time(body, length) is is_long
