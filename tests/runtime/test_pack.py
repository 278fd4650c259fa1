"""Packs: what is written comes back, and only what the manifest names is read. Hostile ones: tests/attacks."""

import zipfile
from pathlib import Path

import msgspec
import numpy as np
import pytest

from edgepack.runtime.errors import MissingFileError, OutputError, PackError, UnknownNameError
from edgepack.runtime.manifest import FileRef, Manifest
from edgepack.runtime.pack import (
    MANIFEST,
    Pack,
    check_member_name,
    check_pack_output,
    decode_array,
    encode_array,
    is_pack,
    reference,
    write_pack,
)
from edgepack.runtime.tensor import Array
from tests.zoo import packs
from tests.zoo.packs import Files


@pytest.fixture(params=["mlp.edgepack", "mlp/"], ids=["zip", "folder"])
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[Path, Manifest, Files]:
    """A pack in each of its two forms, with what was written."""
    manifest, files = packs.mlp()
    write_pack(f"{tmp_path}/{request.param}", manifest, files)
    return tmp_path / request.param, manifest, files


def test_the_manifest_comes_back(written: tuple[Path, Manifest, Files]) -> None:
    with Pack(written[0]) as pack:
        assert pack.manifest == written[1]


def test_every_member_comes_back(written: tuple[Path, Manifest, Files]) -> None:
    with Pack(written[0]) as pack:
        assert {ref.path: pack.read(ref) for ref in pack.references()} == written[2]


def test_golden_samples_come_back_by_name(written: tuple[Path, Manifest, Files]) -> None:
    given, wanted = packs.outputs("mlp")
    with Pack(written[0]) as pack:
        inputs, outputs = pack.golden(pack.manifest.goldens[0])
    np.testing.assert_array_equal(inputs["x"], given["x"][:4])
    np.testing.assert_array_equal(outputs["y"], wanted["y"][:4])


def test_a_variant_is_found_by_its_name(written: tuple[Path, Manifest, Files]) -> None:
    with Pack(written[0]) as pack:
        assert pack.variant("tflite-float32").format == "tflite"


def test_an_unknown_variant_lists_the_known_ones(written: tuple[Path, Manifest, Files]) -> None:
    with Pack(written[0]) as pack, pytest.raises(UnknownNameError, match=r"known: onnx-float32, tflite-float32"):
        pack.variant("onnx-int4")


def test_a_pack_looks_like_a_pack(written: tuple[Path, Manifest, Files]) -> None:
    assert is_pack(written[0])


def test_a_zip_of_any_name_looks_like_a_pack(mlp_pack: Path, tmp_path: Path) -> None:
    other = tmp_path / "download"
    other.write_bytes(mlp_pack.read_bytes())
    assert is_pack(other)


@pytest.mark.parametrize("name", ["mlp.onnx", "mlp.tflite", "make.py", "nothing-here"])
def test_other_files_do_not_look_like_a_pack(name: str) -> None:
    assert not is_pack(packs.ZOO / name)


def test_the_same_pack_is_the_same_bytes(tmp_path: Path) -> None:
    one, two = (packs.write(tmp_path / name, packs.mlp()).read_bytes() for name in ("a.edgepack", "b.edgepack"))
    assert one == two


def test_any_tool_can_open_a_pack(mlp_pack: Path) -> None:
    with zipfile.ZipFile(mlp_pack) as archive:
        assert archive.testzip() is None
        assert archive.namelist()[0] == MANIFEST
        assert {info.compress_type for info in archive.infolist()} == {zipfile.ZIP_STORED}


def test_members_the_manifest_does_not_name_are_told(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    path = packs.write(tmp_path / "more.edgepack", (manifest, {**files, "notes.txt": b"hello"}))
    with Pack(path) as pack:
        assert pack.unlisted() == ("notes.txt",)


def test_what_exists_is_not_replaced_unasked(mlp_pack: Path) -> None:
    before = mlp_pack.read_bytes()
    with pytest.raises(OutputError, match="exists already"):
        write_pack(mlp_pack, *packs.pair())
    assert mlp_pack.read_bytes() == before


@pytest.mark.parametrize("name", ["p.edgepack", "p/"], ids=["zip", "folder"])
def test_force_replaces_a_pack(tmp_path: Path, name: str) -> None:
    write_pack(f"{tmp_path}/{name}", *packs.mlp())
    write_pack(f"{tmp_path}/{name}", *packs.pair(), force=True)
    with Pack(tmp_path / name) as pack:
        assert pack.manifest.name == "pair"
        assert pack.unlisted() == ()
    assert len(list(tmp_path.iterdir())) == 1


def test_a_file_does_not_become_a_folder(tmp_path: Path) -> None:
    packs.write(tmp_path / "p", packs.mlp())
    with pytest.raises(OutputError, match="is a file and would become a folder"):
        write_pack(f"{tmp_path}/p/", *packs.mlp(), force=True)


def test_a_folder_does_not_become_a_file(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    with pytest.raises(OutputError, match="a folder has that name; name another output"):
        write_pack(tmp_path / "p", *packs.mlp(), force=True)


@pytest.mark.parametrize("known", [True, False], ids=["in-a-pack", "in-no-pack"])
def test_a_folder_with_files_of_others_is_never_replaced(tmp_path: Path, known: bool) -> None:
    if known:
        write_pack(f"{tmp_path}/p/", *packs.mlp())
    (tmp_path / "p" / "deep").mkdir(parents=True)
    (tmp_path / "p" / "deep" / "thesis.txt").write_text("three years")
    with pytest.raises(OutputError, match=r"holds what is no part of a pack \(deep.*\); name another folder"):
        write_pack(f"{tmp_path}/p/", *packs.mlp(), force=True)
    assert (tmp_path / "p" / "deep" / "thesis.txt").read_text() == "three years"


def test_an_empty_folder_becomes_a_pack(tmp_path: Path) -> None:
    (tmp_path / "p").mkdir()
    write_pack(f"{tmp_path}/p/", *packs.mlp(), force=True)
    with Pack(tmp_path / "p") as pack:
        assert pack.manifest.name == "mlp"


@pytest.mark.parametrize(
    "name", ["../x", "/x", "a//b", "", "a/../b", "a\\b", "C:x", "a\0b", "ä", "x" * 256, " ", "a/."]
)
def test_a_name_that_could_leave_the_pack_is_never_written(tmp_path: Path, name: str) -> None:
    manifest, files = packs.mlp()
    with pytest.raises(PackError, match="not a plain relative path"):
        write_pack(tmp_path / "p.edgepack", manifest, {**files, name: b""})
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["a", "a/b.onnx", "a b", "v1.2+x=y@z_-", "..a", "x" * 255])
def test_plain_names_are_taken(name: str) -> None:
    check_member_name(name)


def test_a_pack_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no pack at"):
        Pack(tmp_path / "no.edgepack")


def test_a_name_too_long_for_the_system_is_not_there() -> None:
    with pytest.raises(MissingFileError, match="no pack at"):
        Pack("x" * 5000)


def test_a_folder_without_a_manifest_is_no_pack(tmp_path: Path) -> None:
    with pytest.raises(PackError, match=r"has no manifest\.json; it is not an edgepack pack"):
        Pack(tmp_path)


def test_a_damaged_member_is_told_by_its_digest(mlp_pack: Path) -> None:
    with Pack(mlp_pack) as pack:
        ref = pack.manifest.variants[0].file
        with pytest.raises(PackError, match=r"digest .* damaged or was changed"):
            pack.read(msgspec.structs.replace(ref, sha256="0" * 64))


def test_a_member_of_another_size_is_told(mlp_pack: Path) -> None:
    with Pack(mlp_pack) as pack:
        ref = pack.manifest.variants[0].file
        with pytest.raises(PackError, match=r"has 218 bytes; its manifest says 219"):
            pack.read(msgspec.structs.replace(ref, size_bytes=219))


def test_a_member_that_is_missing_is_told(mlp_pack: Path) -> None:
    with Pack(mlp_pack) as pack, pytest.raises(PackError, match=r"no member 'models/x\.onnx' that its manifest names"):
        pack.read(FileRef("models/x.onnx", "0" * 64, 0))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3), np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        np.array(3, np.int64), np.zeros((0, 4), np.uint8), np.array(["one", "zwölf"]), np.array([True, False]),
        np.array([1.5], np.float16), np.array([1, 2], ">i4"),
    ],
    ids=["floats", "fortran", "a-number", "no-rows", "text", "bools", "halves", "other-byte-order"],
)  # fmt: skip
def test_arrays_come_back_from_their_bytes(array: Array) -> None:
    found = decode_array(encode_array(array))
    np.testing.assert_array_equal(found, array)
    assert found.dtype == array.dtype
    assert found.flags.writeable


def test_objects_are_never_written() -> None:
    with pytest.raises(ValueError, match="Object arrays cannot be saved"):
        encode_array(np.array([object()]))


def test_a_reference_says_what_a_member_holds() -> None:
    assert reference("a", b"abc") == FileRef("a", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad", 3)


def test_a_folder_that_is_no_pack_is_never_replaced(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "chapter.txt").write_text("years of work")
    with pytest.raises(OutputError, match=r"mine holds what is no part of a pack \(chapter.txt\)"):
        check_pack_output(f"{tmp_path / 'mine'}/", force=True)


def test_a_folder_pack_with_a_stranger_in_it_is_not_replaced(tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    write_pack(f"{tmp_path / 'p'}/", manifest, files)
    check_pack_output(f"{tmp_path / 'p'}/", force=True)
    (tmp_path / "p" / "notes.txt").write_text("mine")
    with pytest.raises(OutputError, match=r"notes\.txt"):
        check_pack_output(f"{tmp_path / 'p'}/", force=True)
