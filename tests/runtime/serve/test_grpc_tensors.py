"""Tensors come out of the bytes of a message, and go into them, unchanged; what does not fit is an error of ours."""

import random
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edgepack.runtime.errors import DeadlineError, EdgepackError, InputError, TooLargeError
from edgepack.runtime.serve.datatypes import NUMPY
from edgepack.runtime.serve.grpc_messages import message
from edgepack.runtime.serve.grpc_requests import to_request
from edgepack.runtime.serve.grpc_tensors import from_text, to_response, to_text
from edgepack.runtime.serve.grpc_wire import joined, split
from edgepack.runtime.serve.messages import InferAnswer, InferRequest
from tests.runtime.serve.grpc_running import random_of

TYPED = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
shapes = st.lists(st.integers(0, 4), max_size=4).map(tuple)
seeds = st.integers(0, 2**32 - 1)


def request_of(*tensors: tuple[str, str, tuple[int, ...]], raw: tuple[bytes, ...] = (), **fields: Any) -> Any:
    made = message("ModelInferRequest")(model_name="m", raw_input_contents=raw, **fields)
    for name, datatype, shape in tensors:
        made.inputs.add(name=name, datatype=datatype, shape=shape)
    return made


def read(made: Any, **options: Any) -> InferRequest:
    return to_request(made.SerializeToString(), **{"most_tensors": 8, "remaining_s": None, **options})


def raw_of(array: np.ndarray[Any, Any]) -> bytes:
    return from_text(array.flat) if array.dtype.kind == "O" else array.tobytes()


def assert_same(got: np.ndarray[Any, Any], wanted: np.ndarray[Any, Any]) -> None:
    assert (got.dtype, got.shape) == (wanted.dtype, wanted.shape)
    assert got.tolist() == wanted.tolist()


@given(datatype=st.sampled_from(sorted(NUMPY)), shape=shapes, seed=seeds, pad=st.integers(0, 9))
def test_raw_contents_of_every_datatype_come_through(
    datatype: str, shape: tuple[int, ...], seed: int, pad: int
) -> None:
    array = random_of(NUMPY[datatype], shape, np.random.default_rng(seed))
    got = read(request_of(("x", datatype, shape), raw=(raw_of(array),), id="p" * pad)).inputs["x"]
    assert_same(got, array)
    assert got.flags.aligned
    assert got.flags.c_contiguous


@given(datatype=st.sampled_from(sorted(TYPED)), shape=shapes, seed=seeds)
def test_typed_contents_of_every_datatype_but_fp16_come_through(
    datatype: str, shape: tuple[int, ...], seed: int
) -> None:
    array = random_of(NUMPY[datatype], shape, np.random.default_rng(seed))
    made = request_of(("x", datatype, shape))
    getattr(made.inputs[0].contents, TYPED[datatype]).extend(array.ravel().tolist())
    assert_same(read(made).inputs["x"], array)


@given(datatype=st.sampled_from(sorted(NUMPY)), shape=shapes, seed=seeds, streamed=st.booleans())
def test_outputs_of_every_datatype_come_through(
    datatype: str, shape: tuple[int, ...], seed: int, streamed: bool
) -> None:
    rng = np.random.default_rng(seed)
    outputs = {"y": random_of(NUMPY[datatype], shape, rng), "z": random_of(NUMPY["FP32"], (2, 3), rng).T}
    head = message("ModelInferResponse")()
    data = to_response(head, InferAnswer("m", "3", outputs, "7", {"a": 1}), streamed=streamed)
    kind = message("ModelStreamInferResponse" if streamed else "ModelInferResponse")
    got = kind.FromString(data).infer_response if streamed else kind.FromString(data)
    assert (got.model_name, got.model_version, got.id, got.parameters["a"].int64_param) == ("m", "3", "7", 1)
    assert ("triton_final_response" in got.parameters) == streamed
    for name, tensor, raw in zip(outputs, got.outputs, got.raw_output_contents, strict=True):
        assert (tensor.name, tuple(tensor.shape)) == (name, outputs[name].shape)
        assert raw == raw_of(np.ascontiguousarray(outputs[name]))


def test_raw_numbers_are_a_view_of_the_message_where_the_grid_allows() -> None:
    array = np.arange(16, dtype=np.uint8)
    data = request_of(("x", "UINT8", (16,)), raw=(array.tobytes(),)).SerializeToString()
    got = to_request(data, most_tensors=1, remaining_s=None).inputs["x"]
    assert np.shares_memory(got, np.frombuffer(data, np.uint8))


def test_text_is_read_as_bytes_and_written_as_utf8() -> None:
    assert to_text(memoryview(from_text(["好", b"\xff", np.bytes_(b"a")])), "x") == ["好".encode(), b"\xff", b"a"]


def test_any_byte_but_zero_is_true() -> None:
    assert read(request_of(("x", "BOOL", (3,)), raw=(b"\x00\x02\xff",))).inputs["x"].tolist() == [False, True, True]


def _typed(datatype: str, **contents: list[Any]) -> Any:
    made = request_of(("x", datatype, (1,)))
    for field, values in contents.items():
        getattr(made.inputs[0].contents, field).extend(values)
    return made


def _parameter(on: str, name: str, **value: Any) -> Any:
    made = request_of(("x", "INT8", (1,)), raw=(b"1",))
    made.outputs.add(name="y")
    at = {"request": made, "input": made.inputs[0], "output": made.outputs[0]}[on].parameters[name]
    for field, given_value in value.items():
        setattr(at, field, given_value)
    return made


WRONG = {
    "unknown-datatype": (request_of(("x", "FP8", (1,)), raw=(b"1",)), "unknown datatype 'FP8'"),
    "bf16": (request_of(("x", "BF16", (1,)), raw=(b"12",)), "unknown datatype 'BF16'"),
    "too-few-bytes": (request_of(("x", "FP32", (2,)), raw=(b"1234",)), r"1 elements of FP32; its shape \(2,\) takes 2"),
    "half-an-element": (request_of(("x", "FP32", (1,)), raw=(b"123",)), "3 bytes of raw contents; .* FP32 have 4 each"),
    "one-raw-for-two": (request_of(("x", "INT8", ()), ("y", "INT8", ()), raw=(b"1",)), "2 inputs and 1 raw_input"),
    "raw-without-inputs": (request_of(raw=(b"1",)), "0 inputs and 1 raw_input"),
    "twice": (request_of(("x", "INT8", ()), ("x", "INT8", ()), raw=(b"1", b"2")), "'x' is there twice"),
    "negative-axis": (request_of(("x", "INT8", (-1,)), raw=(b"1",)), "shape of 1 axes"),
    "many-axes": (request_of(("x", "INT8", (1,) * 33), raw=(b"1",)), "shape of 33 axes"),
    "huge-and-empty": (
        request_of(("x", "INT8", (2**31 - 1, 2**31 - 1, 2**31 - 1, 0)), raw=(b"",)),
        "beyond any memory",
    ),
    "text-cut-short": (request_of(("x", "BYTES", (1,)), raw=(b"\x05\x00\x00\x00abc",)), "ends beyond its raw contents"),
    "text-length-cut": (request_of(("x", "BYTES", (1,)), raw=(b"\x00\x00",)), "ends beyond its raw contents"),
    "typed-fp16": (_typed("FP16"), "FP16 takes raw_input_contents alone"),
    "other-field": (
        _typed("FP32", fp64_contents=[1.0]),
        r"contents\.fp64_contents; FP32 takes contents\.fp32_contents",
    ),
    "two-fields": (_typed("INT8", int_contents=[1], bool_contents=[True]), r"contents\.bool_contents"),
    "does-not-fit": (_typed("INT8", int_contents=[300]), "300 to 300, which do not fit INT8"),
    "no-contents": (_typed("FP32"), "0 elements"),
    "classes": (_parameter("output", "classification", int64_param=3), "classes are not counted"),
    "sequence": (_parameter("request", "sequence_id", int64_param=3), "sequences are not served"),
    "memory": (_parameter("input", "shared_memory_region", string_param="/x"), "shared memory is not served"),
    "timeout-text": (_parameter("request", "timeout", string_param="5"), "timeout is '5'; it is a whole number"),
    "timeout-before": (_parameter("request", "timeout", int64_param=-5), "timeout is -5; it is microseconds"),
    "priority-yes": (_parameter("request", "priority", bool_param=True), "priority is True"),
    "priority-before": (_parameter("request", "priority", int64_param=-1), "1 for what goes first"),
    "empty-parameter": (_parameter("request", "odd"), "'odd' has no value"),
}


@pytest.mark.parametrize(("made", "why"), WRONG.values(), ids=WRONG)
def test_what_does_not_fit_is_told_with_what_does(made: Any, why: str) -> None:
    with pytest.raises(InputError, match=why):
        read(made)


def test_contents_beside_raw_contents_are_refused() -> None:
    made = _typed("INT8", int_contents=[1])
    made.raw_input_contents.append(b"1")
    with pytest.raises(InputError, match="contents and raw_input_contents"):
        read(made)


def test_too_many_tensors_are_too_large() -> None:
    nine = [(str(number), "INT8", (1,)) for number in range(9)]
    with pytest.raises(TooLargeError, match="9 input tensors; the server takes at most 8"):
        read(request_of(*nine, raw=(b"1",) * 9))
    made = request_of()
    for name, *_ in nine:
        made.outputs.add(name=name)
    with pytest.raises(TooLargeError, match="9 outputs"):
        read(made)


def test_the_shorter_of_both_deadlines_holds() -> None:
    made = request_of(id="7", model_version="stable")
    made.parameters["timeout"].int64_param = 250_000
    made.parameters["priority"].uint64_param = 2
    made.parameters["note"].string_param = "free"
    got = read(made, remaining_s=9.0)
    assert (got.timeout_s, got.id, got.version) == (0.25, "7", "stable")
    assert got.parameters == {"timeout": 250_000, "priority": 2, "note": "free"}
    assert read(made, remaining_s=0.1).timeout_s == 0.1
    assert read(request_of()).timeout_s is None
    with pytest.raises(DeadlineError):
        read(made, remaining_s=0.0)


def test_priority_1_goes_before_2_and_what_names_none_comes_last() -> None:
    def got(asked: int) -> int:
        made = request_of()
        made.parameters["priority"].uint64_param = asked
        return read(made).priority

    assert got(1) > got(2) > got(2**32 - 1) > got(0) == read(request_of()).priority


def test_raw_contents_may_stand_anywhere_in_the_message() -> None:
    late = request_of(("x", "INT8", (1,)), id="late").SerializeToString()
    head, raw = split(b"\x3a\x01A" + late + b"\x3a\x00")
    assert head == late
    assert [bytes(part) for part in raw] == [b"A", b""]


def test_a_long_tensor_gets_a_length_of_several_bytes() -> None:
    long = bytes(300)
    assert joined(b"", [long]) == b"\x32\xac\x02" + long
    assert joined(b"h", [long], streamed=True)[:3] == b"\x12" + struct.pack("BB", 0x80 | 304 & 0x7F, 304 >> 7)


def _valid() -> bytes:
    made = request_of(
        ("x", "FP32", (2, 2)), ("t", "BYTES", (2,)), raw=(bytes(16), from_text([b"ab", b""])), id="1", model_version="2"
    )
    made.outputs.add(name="y")
    made.parameters["timeout"].int64_param = 9
    return bytes(made.SerializeToString())


def _mutated(data: bytes, cuts: list[tuple[int, bytes]]) -> bytes:
    changed = bytearray(data)
    for at, put in cuts:
        place = at % (len(changed) + 1)
        changed[place : place + 1] = put
    return bytes(changed)


mutations = st.lists(st.tuples(st.integers(0, 400), st.binary(max_size=3)), max_size=6)


def _survives(data: bytes) -> None:
    try:
        got = to_request(data, most_tensors=8, remaining_s=None)
    except EdgepackError:
        return
    for array in got.inputs.values():
        assert isinstance(array, np.ndarray)


@given(st.binary(max_size=200))
def test_any_bytes_are_a_request_or_an_error_of_ours(data: bytes) -> None:
    _survives(data)


@given(mutations)
def test_a_damaged_request_is_a_request_or_an_error_of_ours(cuts: list[tuple[int, bytes]]) -> None:
    _survives(_mutated(_valid(), cuts))


@pytest.mark.slow
@settings(max_examples=1_000, deadline=None)
@given(seeds)
def test_a_hundred_thousand_requests_crash_nothing(seed: int) -> None:
    chance, valid = random.Random(seed), _valid()
    for _ in range(100):
        cuts = [(chance.randrange(400), chance.randbytes(chance.randrange(4))) for _ in range(chance.randrange(1, 7))]
        _survives(_mutated(valid, cuts))


@given(st.binary(max_size=300))
def test_what_protobuf_reads_is_read_the_same_after_the_cut(data: bytes) -> None:
    kind = message("ModelInferRequest")
    try:
        head, raw = split(data)
        cut = kind.FromString(head)
    except Exception:  # noqa: BLE001 - no message for one of both is none for this test
        return
    whole = kind.FromString(data)
    assert list(whole.raw_input_contents) == [bytes(part) for part in raw]
    whole.ClearField("raw_input_contents")
    assert whole.SerializeToString(deterministic=True) == cut.SerializeToString(deterministic=True)
