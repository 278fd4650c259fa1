"""The manifest: frozen values, their JSON, and the schema that others read."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest

from edgepack.runtime.errors import PackError
from edgepack.runtime.manifest import (
    FORMAT_VERSION,
    Card,
    Manifest,
    Metric,
    Step,
    Steps,
    decode_card,
    decode_manifest,
    encode,
    manifest_schema,
)
from tests.zoo import packs

ROOT = Path(__file__).parents[2]
SMALLEST: dict[str, Any] = {"format_version": FORMAT_VERSION, "name": "n", "inputs": [], "outputs": [], "variants": []}


def decoded(**changes: Any) -> Manifest:
    return decode_manifest(json.dumps(SMALLEST | changes).encode())


def test_a_manifest_comes_back_as_it_was() -> None:
    manifest, _ = packs.mlp()
    first = msgspec.structs.replace(manifest.variants[0], metric=Metric("accuracy", 0.9, 0.91, 100))
    manifest = msgspec.structs.replace(manifest, variants=(first, *manifest.variants[1:]))
    assert decode_manifest(encode(manifest)) == manifest


def test_the_same_manifest_gives_the_same_bytes() -> None:
    assert encode(packs.mlp()[0]) == encode(packs.mlp()[0])


def test_a_card_comes_back_as_it_was() -> None:
    card = Card(1, "digits", steps=Steps(inputs={"image": (Step("image"),)}), metrics={"accuracy": 0.99})
    assert decode_card(encode(card)) == card


def test_the_schema_in_the_docs_is_that_of_the_code() -> None:
    stored = json.loads((ROOT / "docs" / "manifest.schema.json").read_text(encoding="utf-8"))
    assert stored == json.loads(json.dumps(manifest_schema())), "run scripts/manifest-schema"


def test_the_schema_is_a_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(manifest_schema())


@pytest.mark.parametrize("pack", [packs.mlp, packs.pair, packs.tiles], ids=lambda pack: pack.__name__)
def test_a_real_manifest_fits_the_schema(pack: Any) -> None:
    jsonschema.validate(json.loads(encode(pack()[0])), manifest_schema())


def test_what_is_no_manifest_does_not_fit_the_schema() -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(SMALLEST | {"inputs": [{"name": 1}]}, manifest_schema())


def test_fields_of_a_later_release_of_the_same_format_are_passed_over() -> None:
    assert decoded(colour="red").name == "n"


@pytest.mark.parametrize(
    ("version", "advice"),
    [(FORMAT_VERSION + 1, "upgrade it: pip install -U edgepack"), (0, "build the pack again")],
    ids=["newer", "older"],
)
def test_another_format_version_says_what_to_do(version: int, advice: str) -> None:
    with pytest.raises(PackError, match=rf"format version {version}; this edgepack reads version .*{advice}"):
        decoded(format_version=version)


def test_a_newer_format_may_differ_in_every_other_field() -> None:
    with pytest.raises(PackError, match="format version 9"):
        decode_manifest(b'{"format_version": 9, "inputs": "all of them"}')


@pytest.mark.parametrize(
    "data",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b"{}", b'{"format_version": "1"}', b'{"format_version": 1e400}',
        b"[" * 100_000, b'{"format_version": 1, "a": ' + b"[" * 100_000,
        b'{"format_version": 1, "provenance": ' + b'{"a": ' * 100_000,
    ],
    ids=[
        "empty", "cut", "a-list", "null", "not-utf8", "no-fields", "version-as-text", "endless-version", "deep-list",
        "deep-unknown", "deep-known",
    ],
)  # fmt: skip
def test_what_is_no_manifest_is_refused(data: bytes) -> None:
    with pytest.raises(PackError, match="manifest"):
        decode_manifest(data)


@pytest.mark.parametrize(
    "changes",
    [
        {"name": 3},
        {"inputs": None},
        {"inputs": [{"name": "x", "shape": [1.5], "dtype": "float32"}]},
        {"inputs": [{"name": "x", "shape": [1]}]},
        {"variants": [{"name": "v"}]},
        {"steps": {"inputs": {"x": [{"options": {}}]}}},
        {"labels": {"y": [1]}},
    ],
    ids=["name", "no-inputs", "half-a-size", "no-dtype", "half-a-variant", "no-step", "label"],
)
def test_a_field_that_is_wrong_or_missing_is_named(changes: dict[str, Any]) -> None:
    with pytest.raises(PackError, match=r"the manifest does not hold what a pack must: .* - at `\$\."):
        decoded(**changes)


def test_broken_text_deep_inside_is_refused() -> None:
    data = json.dumps(SMALLEST | {"provenance": {"a": "?"}}).encode().replace(b"?", b"\xff")
    with pytest.raises(PackError, match="utf-8"):
        decode_manifest(data)


@pytest.mark.parametrize("kind", ["inputs", "outputs"])
def test_two_tensors_of_one_name_are_refused(kind: str) -> None:
    tensor = {"name": "x", "shape": [], "dtype": "float32"}
    with pytest.raises(PackError, match=rf"names {kind[:-1]} 'x' twice"):
        decoded(**{kind: [tensor, tensor]})


def test_two_variants_of_one_name_are_refused() -> None:
    manifest, _ = packs.mlp()
    with pytest.raises(PackError, match="names variant 'onnx-float32' twice"):
        decode_manifest(encode(msgspec.structs.replace(manifest, variants=manifest.variants[:1] * 2)))


@pytest.mark.parametrize("dtype", ["", "float31", "object", "O", "V8", "M8[s]", "complex64", "f4,f4", "{", "x" * 9999])
def test_an_element_type_that_no_engine_takes_is_refused(dtype: str) -> None:
    with pytest.raises(PackError, match="tensor 'x' has element type"):
        decoded(inputs=[{"name": "x", "shape": [], "dtype": dtype}])


def test_a_hundred_thousand_names_are_checked_at_once() -> None:
    tensors = [{"name": str(number), "shape": [], "dtype": "int8"} for number in range(100_000)]
    assert len(decoded(inputs=tensors).inputs) == 100_000  # seconds, where each name met each other it would be hours
