"""Hostile packs: each ends in an `EdgepackError`, or loads and gives right answers; nothing outside is touched."""

import contextlib
import io
import json
import os
import stat
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.runtime.arrays import read_arrays
from edgepack.runtime.errors import EdgepackError, PackError
from edgepack.runtime.manifest import FORMAT_VERSION, Manifest, encode
from edgepack.runtime.pack import MANIFEST, Pack, decode_array, encode_array, reference, write_pack
from edgepack.runtime.verify import verify
from tests.zoo import packs
from tests.zoo.packs import TOLERANCE, Files, outputs

SECRET = b"a file outside of the pack"
Entry = tuple[zipfile.ZipInfo | str, bytes]


@pytest.fixture(autouse=True)
def nothing_outside_changes(tmp_path: Path) -> Iterator[None]:
    """A file beside the pack's folder, which no attack may change, and a folder to which none may add."""
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "secret").write_bytes(SECRET)
    yield
    assert [path.name for path in outside.iterdir()] == ["secret"]
    assert (outside / "secret").read_bytes() == SECRET


@pytest.fixture
def room(tmp_path: Path) -> Path:
    folder = tmp_path / "room"
    folder.mkdir()
    return folder


def entries(manifest: Manifest | None = None, files: Files | None = None) -> list[Entry]:
    """The members of the sound pack, or of another, in the order they are written."""
    sound, members = packs.mlp()
    return [(MANIFEST, encode(manifest or sound)), *((files or members).items())]


def archive(path: Path, members: list[Entry], compression: int = zipfile.ZIP_STORED) -> Path:
    """A zip of whatever names and kinds are asked for."""
    with zipfile.ZipFile(path, "w", compression) as made, warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a name is there twice
        for name, data in members:
            made.writestr(name, data)
    return path


def refused(path: Path, message: str) -> None:
    with pytest.raises(PackError, match=message):
        edgepack.load(path)


def answers_right_or_refuses(path: Path) -> bool:
    """Open, run and verify; whether it answered."""
    given, wanted = outputs("mlp")
    with contextlib.suppress(EdgepackError):
        with edgepack.load(path) as session:
            found = session.run(given)
            with contextlib.suppress(EdgepackError):
                session.predict(given["x"][0])
        np.testing.assert_allclose(found["y"], wanted["y"], atol=TOLERANCE)
        with contextlib.suppress(EdgepackError):
            verify(path)
        return True
    return False


def test_the_sound_pack_of_these_tests_answers(room: Path) -> None:
    assert answers_right_or_refuses(archive(room / "p.edgepack", entries()))


# names and kinds of members


HOSTILE_NAMES = {
    "parent": "../outside/secret",
    "deep-parent": "models/../../outside/secret",
    "absolute": "/etc/passwd",
    "backslash": "..\\outside\\secret",
    "drive": "C:/secret",
    "drive-relative": "C:secret",
    "unc": "//host/share",
    "stream": "models/mlp.onnx:stream",
    "dot": "./models/x",
    "empty-part": "models//x",
    "spaces": "   ",
    "dots": "...",
    "newline": "models/a\nb",
    "control": "models/\x1b[2J",
    "bidi": "models/\u202excod",
    "not-ascii": "mod\u00e8le.onnx",
    "long": "a" * 300,
    "percent": "%2e%2e/secret",
    "tilde": "~/secret",
    "folder-parent": "../outside/",
}


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_a_member_whose_name_could_leave_the_pack_is_refused(room: Path, name: str) -> None:
    refused(archive(room / "p.edgepack", [*entries(), (name, b"x")]), "is not a plain relative path inside the pack")


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
@pytest.mark.parametrize("form", ["p.edgepack", "p/"], ids=["zip", "folder"])
def test_a_manifest_that_names_such_a_member_is_refused(room: Path, name: str, form: str) -> None:
    manifest, files = packs.mlp()
    first = msgspec.structs.replace(manifest.variants[0], file=reference(name, SECRET))
    write_pack(f"{room}/{form}", msgspec.structs.replace(manifest, variants=(first,)), files)
    refused(room / form, "is not a plain relative path inside the pack")


def test_a_name_with_a_nul_is_refused(room: Path) -> None:
    path = archive(room / "p.edgepack", [*entries(), ("modelsXx", b"x")])
    path.write_bytes(path.read_bytes().replace(b"modelsXx", b"models\0x"))
    refused(path, "is not a plain relative path inside the pack")


@pytest.mark.parametrize(
    "kind", [stat.S_IFLNK, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFIFO, stat.S_IFSOCK],
    ids=["symlink", "character-device", "block-device", "pipe", "socket"],
)  # fmt: skip
def test_links_and_devices_are_refused(room: Path, kind: int) -> None:
    info = zipfile.ZipInfo("models/link")
    info.external_attr = (kind | 0o777) << 16
    refused(archive(room / "p.edgepack", [*entries(), (info, b"../outside/secret")]), "is a link or a device")


@pytest.mark.parametrize("name", [MANIFEST, "models/mlp.onnx"])
def test_a_member_that_is_there_twice_is_refused(room: Path, name: str) -> None:
    refused(archive(room / "p.edgepack", [*entries(), (name, b"{}")]), f"has member '{name}' twice")


@pytest.mark.parametrize("name", ["MANIFEST.JSON", "models/MLP.onnx", "models/mlp.onnx.", "manifest.json "])
def test_a_name_that_some_systems_take_for_another_changes_no_answer(room: Path, name: str) -> None:
    assert answers_right_or_refuses(archive(room / "p.edgepack", [*entries(), (name, b"another")]))


def test_too_many_members_are_refused(room: Path) -> None:
    many: list[Entry] = [(f"m{number}", b"") for number in range(10_001)]
    refused(archive(room / "p.edgepack", many), "at most 10,000 are read")


@pytest.mark.parametrize("missing", [MANIFEST, "models/mlp.onnx", "golden/in_x.npy"])
def test_a_member_that_is_missing_is_told(room: Path, missing: str) -> None:
    path = archive(room / "p.edgepack", [entry for entry in entries() if entry[0] != missing])
    with pytest.raises(PackError, match=missing):
        verify(path)


# claims


def patched(path: Path, name: str, local: dict[int, bytes], central: dict[int, bytes]) -> Path:
    """Overwrite bytes of the local and the central header of a member, by their place in the header."""
    data = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as made:
        at = made.getinfo(name).header_offset
        directory = made.start_dir
    while data[directory + 46 : directory + 46 + len(name)] != name.encode():
        directory += 46 + sum(struct.unpack_from("<3H", data, directory + 28))
    for start, changes in ((at, local), (directory, central)):
        for place, value in changes.items():
            data[start + place : start + place + len(value)] = value
    path.write_bytes(data)
    return path


@pytest.mark.parametrize("claim", [0, 1, 10**6, 2**32 - 2], ids=["nothing", "one", "a-megabyte", "4-gigabytes"])
@pytest.mark.parametrize("where", ["directory", "both"])
def test_sizes_that_are_not_true_are_refused(room: Path, claim: int, where: str) -> None:
    size = struct.pack("<II", claim, claim)
    path = archive(room / "p.edgepack", entries())
    refused(patched(path, "models/mlp.onnx", {18: size} if where == "both" else {}, {20: size}), "edgepack")


def test_a_member_that_begins_outside_of_the_file_is_refused(room: Path) -> None:
    path = archive(room / "p.edgepack", entries())
    refused(patched(path, "models/mlp.onnx", {}, {42: struct.pack("<I", 2**31)}), "is damaged")


def test_a_member_that_begins_in_another_is_refused(room: Path) -> None:
    path = archive(room / "p.edgepack", entries())
    refused(patched(path, "models/mlp.onnx", {}, {42: struct.pack("<I", 0)}), "is damaged")


def test_an_encrypted_member_is_refused(room: Path) -> None:
    path = archive(room / "p.edgepack", entries())
    refused(patched(path, "models/mlp.onnx", {6: b"\1"}, {8: b"\1"}), "is encrypted; packs are not")


@pytest.mark.parametrize(
    "method", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA], ids=["deflate", "bzip2", "lzma"]
)
def test_a_compressed_bomb_is_refused_unopened(room: Path, method: int) -> None:
    path = archive(room / "p.edgepack", [*entries(), ("bomb", bytes(50_000_000))], method)
    assert path.stat().st_size < 1_000_000
    refused(path, "is compressed; packs hold uncompressed members")


def test_a_compression_of_another_age_is_refused(room: Path) -> None:
    path = archive(room / "p.edgepack", entries())
    refused(patched(path, "models/mlp.onnx", {8: b"\x63"}, {10: b"\x63"}), "is compressed")


@pytest.mark.parametrize("field", ["sha256", "size_bytes"])
def test_a_wrong_digest_or_size_is_refused(room: Path, field: str) -> None:
    manifest, files = packs.mlp()
    wrong = msgspec.structs.replace(manifest.variants[0].file, **{field: "0" * 64 if field == "sha256" else 7})
    first = msgspec.structs.replace(manifest.variants[0], file=wrong)
    path = archive(room / "p.edgepack", entries(msgspec.structs.replace(manifest, variants=(first,)), files))
    refused(path, "is damaged or was changed")


# arrays


def npy(header: str, body: bytes = b"") -> bytes:
    return b"\x93NUMPY\1\0" + struct.pack("<H", len(header)) + header.encode("latin1") + body


def claiming(descr: str, shape: str, body: bytes = b"", fortran: str = "False") -> bytes:
    return npy(f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}\n", body)


def pickled() -> bytes:
    """An array of objects, whose reading would run code."""
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    return buffer.getvalue()


HOSTILE_ARRAYS = {
    "empty": b"",
    "text": b"hello",
    "only-the-mark": b"\x93NUMPY",
    "another-version": b"\x93NUMPY\x09\0\x04\0{}  ",
    "pickled": pickled(),
    "objects": claiming("'|O'", "(1,)", bytes(8)),
    "terabytes": claiming("'<f4'", "(1000000000000,)", bytes(4)),
    "product-overflows": claiming("'<f4'", "(4294967296, 4294967296)", b""),
    "product-of-nothing": claiming("'<f4'", "(0, 99999999999999999999)"),
    "nothing-of-terabytes": claiming("'<U0'", "(1000000000000,)"),
    "void": claiming("'|V0'", "(1000000000000,)"),
    "wide-text": claiming("'<U999999999'", "(1,)", bytes(4)),
    "negative": claiming("'<f4'", "(-1, -4)", bytes(16)),
    "many-axes": claiming("'<f4'", f"({'1, ' * 70})", bytes(4)),
    "endless-number": claiming("'<f4'", f"({'9' * 9000},)"),
    "structure": claiming("[('a', '<f4')]", "(1,)", bytes(4)),
    "unknown-type": claiming("'<f3'", "(1,)", bytes(3)),
    "short": claiming("'<f4'", "(4,)", bytes(15)),
    "long": claiming("'<f4'", "(4,)", bytes(17)),
    "code": npy("__import__('os').system('true')"),
    "deep": npy("(" * 9000),
    "no-end": npy("{'descr': '''"),
    "nul": npy("\0"),
    "header-beyond-the-file": b"\x93NUMPY\1\0\xff\xff{'descr'",
}


@pytest.mark.parametrize("data", HOSTILE_ARRAYS.values(), ids=HOSTILE_ARRAYS)
def test_an_array_that_claims_what_is_not_there_is_refused(data: bytes) -> None:
    with pytest.raises(PackError, match="a golden sample"):
        decode_array(data)


@pytest.mark.parametrize("data", [HOSTILE_ARRAYS["terabytes"], HOSTILE_ARRAYS["pickled"]], ids=["terabytes", "pickled"])
def test_a_pack_with_such_a_golden_sample_is_refused(room: Path, data: bytes) -> None:
    manifest, files = packs.mlp()
    golden = msgspec.structs.replace(manifest.goldens[0], inputs={"x": reference("golden/in_x.npy", data)})
    changed = msgspec.structs.replace(manifest, goldens=(golden,))
    path = archive(room / "p.edgepack", entries(changed, files | {"golden/in_x.npy": data}))
    with pytest.raises(PackError, match="a golden sample"):
        verify(path)


@pytest.mark.filterwarnings("ignore:Reading `.npy` or `.npz` file:UserWarning")
@pytest.mark.parametrize("packed", [False, True], ids=["npy", "npz"])
@pytest.mark.parametrize("data", HOSTILE_ARRAYS.values(), ids=HOSTILE_ARRAYS)
def test_a_file_of_such_arrays_is_read_or_refused(room: Path, data: bytes, packed: bool) -> None:
    path = archive(room / "a.npz", [("x.npy", data)]) if packed else room / "a.npy"
    if not packed:
        path.write_bytes(data)
    with contextlib.suppress(EdgepackError):
        assert all(array.nbytes <= len(data) and not array.dtype.hasobject for array in read_arrays(path, "").values())


def test_an_array_of_any_damage_is_read_or_refused() -> None:
    data = encode_array(np.arange(12, dtype=np.float32).reshape(3, 4))
    for seed in range(300):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(256)
        with contextlib.suppress(PackError):
            assert decode_array(bytes(damaged)).nbytes == 48


# manifests


def with_manifest(path: Path, data: bytes) -> Path:
    return archive(path, [(MANIFEST, data), *entries()[1:]])


@pytest.mark.parametrize(
    "data",
    [
        b"", b"hello", b"null", b"[]", b"[" * 200_000, b'{"format_version": 1, "x": ' + b"[" * 200_000, b"{}",
        b"\xff\xfe\x00", b'{"format_version": true}', b'{"format_version": 1}',
    ],
    ids=["empty", "text", "null", "list", "deep", "deep-inside", "no-fields", "utf-16", "true", "fields-missing"],
)  # fmt: skip
def test_a_manifest_that_is_none_is_refused(room: Path, data: bytes) -> None:
    refused(with_manifest(room / "p.edgepack", data), "manifest")


@pytest.mark.parametrize("version", [FORMAT_VERSION - 1, FORMAT_VERSION + 1, -1, 2**62])
def test_another_format_version_is_refused(room: Path, version: int) -> None:
    manifest = msgspec.structs.replace(packs.mlp()[0], format_version=version)
    refused(with_manifest(room / "p.edgepack", encode(manifest)), f"format version {version}")


def test_a_manifest_of_many_megabytes_is_refused(room: Path) -> None:
    data = b'{"format_version": 1, "name": "' + b"x" * (65 * 2**20) + b'"}'
    refused(with_manifest(room / "p.edgepack", data), r"claims a manifest of .* at most 67,108,864 are read")


Change = Callable[[dict[str, Any]], object]


HOSTILE_CHANGES: dict[str, Change] = {
    "name-is-a-list": lambda m: m.update(name=[]),
    "no-variants": lambda m: m.update(variants=[]),
    "variants-is-text": lambda m: m.update(variants="all"),
    "no-inputs": lambda m: m.update(inputs=[]),
    "input-twice": lambda m: m["inputs"].append(m["inputs"][0]),
    "another-input": lambda m: m["inputs"][0].update(name="z"),
    "shape-of-other-rank": lambda m: m["inputs"][0].update(shape=[None, 4, 1]),
    "shape-of-other-size": lambda m: m["inputs"][0].update(shape=[None, 5]),
    "endless-size": lambda m: m["inputs"][0].update(shape=[2**62, 2**62]),
    "negative-size": lambda m: m["inputs"][0].update(shape=[-1, -4]),
    "other-dtype": lambda m: m["inputs"][0].update(dtype="int64"),
    "text-dtype": lambda m: m["inputs"][0].update(dtype="string"),
    "no-such-dtype": lambda m: m["inputs"][0].update(dtype="float33"),
    "object-dtype": lambda m: m["inputs"][0].update(dtype="O"),
    "no-such-format": lambda m: [one.update(format="exe") for one in m["variants"]],
    "formats-swapped": lambda m: [
        one.update(format={"onnx": "tflite", "tflite": "onnx"}[one["format"]]) for one in m["variants"]
    ],
    "files-swapped": lambda m: m["variants"][0].update(file=m["variants"][1]["file"]),
    "file-is-the-golden-sample": lambda m: m["variants"][0].update(file=m["goldens"][0]["inputs"]["x"]),
    "no-such-step": lambda m: m["steps"]["inputs"].update(x=[{"step": "shell", "options": {"run": "true"}}]),
    "step-is-a-path": lambda m: m["steps"]["inputs"].update(x=[{"step": "os:system"}]),
    "dunder-options": lambda m: m["steps"]["inputs"].update(x=[{"step": "scale", "options": {"__class__": 1}}]),
    "huge-picture": lambda m: m["steps"]["inputs"].update(
        x=[{"step": "resize", "options": {"height": 10**9, "width": 10**9}}]
    ),
    "huge-option": lambda m: m["steps"]["inputs"].update(x=[{"step": "scale", "options": {"factor": 10**300}}]),
    "steps-of-the-wrong-side": lambda m: m["steps"].update(inputs=m["steps"]["outputs"]),
    "no-labels": lambda m: m["steps"]["outputs"].update(y=[{"step": "classify", "options": {"labels": []}}]),
    "steps-of-nothing": lambda m: m["steps"]["inputs"].update(nothing=[{"step": "scale", "options": {"factor": 1}}]),
    "golden-names": lambda m: m["goldens"][0].update(outputs={}),
    "tolerance-is-text": lambda m: m["variants"][0].update(golden_tolerance="none"),
    "deep-provenance": lambda m: m.update(provenance=deep(300)),
}


def deep(levels: int) -> dict[str, Any]:
    value: dict[str, Any] = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
@pytest.mark.parametrize("change", HOSTILE_CHANGES.values(), ids=HOSTILE_CHANGES)
def test_a_manifest_that_lies_never_gives_a_wrong_answer_or_another_error(room: Path, change: Change) -> None:
    manifest = json.loads(encode(packs.mlp()[0]))
    change(manifest)
    answers_right_or_refuses(with_manifest(room / "p.edgepack", json.dumps(manifest).encode()))


# damage


def test_a_pack_cut_anywhere_is_refused(room: Path, mlp_pack: Path) -> None:
    data = mlp_pack.read_bytes()
    for sixteenths in range(16):
        path = room / f"cut-{sixteenths}.edgepack"
        path.write_bytes(data[: len(data) * sixteenths // 16])
        refused(path, "is not a pack|is cut short")


@pytest.mark.parametrize(
    "data", [b"", b"PK\3\4", b"PK\5\6" + bytes(18), os.urandom(2000), b"hello\n" * 99, b"PK\5\6" + b"\xff" * 18],
    ids=["empty", "only-the-mark", "empty-zip", "random", "text", "claims-everything"],
)  # fmt: skip
def test_what_is_no_zip_is_refused(room: Path, data: bytes) -> None:
    (room / "p.edgepack").write_bytes(data)
    refused(room / "p.edgepack", "pack")


def test_flipped_bytes_are_found_or_change_nothing(room: Path, mlp_pack: Path) -> None:
    data = mlp_pack.read_bytes()
    path = room / "p.edgepack"
    answered = 0
    for seed in range(300):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(data))] = rng.integers(256)
        path.write_bytes(damaged)
        answered += answers_right_or_refuses(path)
    assert 0 < answered < 300  # flips in a date change nothing


@pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")
def test_flipped_bytes_of_a_manifest_whose_checksum_is_right_never_crash(room: Path) -> None:
    data = encode(packs.mlp()[0])
    for seed in range(300):
        rng = np.random.default_rng(1000 + seed)
        damaged = bytearray(data)
        for _ in range(rng.integers(1, 4)):
            damaged[rng.integers(len(data))] = rng.integers(32, 127)
        answers_right_or_refuses(with_manifest(room / f"{seed}.edgepack", bytes(damaged)))


# folders


@pytest.fixture
def folder(room: Path) -> Path:
    write_pack(f"{room}/p/", *packs.mlp())
    return room / "p"


@pytest.mark.parametrize("member", [MANIFEST, "models/mlp.onnx", "models"])
def test_a_link_in_a_folder_is_refused_even_where_the_bytes_are_right(folder: Path, room: Path, member: str) -> None:
    elsewhere = room / "elsewhere"
    (folder / member).rename(elsewhere)
    os.symlink(elsewhere, folder / member)
    refused(folder, "is a link; packs hold plain files")


def test_a_link_that_the_manifest_does_not_name_is_never_followed(folder: Path, tmp_path: Path) -> None:
    os.symlink(tmp_path / "outside", folder / "extra")
    os.symlink("..", folder / "around")
    assert answers_right_or_refuses(folder)
    with Pack(folder) as pack:
        assert not any("secret" in name for name in pack.unlisted())


def test_a_pipe_in_place_of_a_member_does_not_hang(folder: Path) -> None:
    (folder / "models" / "mlp.onnx").unlink()
    os.mkfifo(folder / "models" / "mlp.onnx")
    refused(folder, "has no member 'models/mlp.onnx'")


@pytest.mark.timeout(20)
@pytest.mark.parametrize("use", [edgepack.load, verify, Pack], ids=["load", "verify", "open"])
@pytest.mark.parametrize("name", ["p.edgepack", "p", "p.onnx"])
def test_a_pipe_in_place_of_a_pack_does_not_hang(room: Path, name: str, use: Callable[[Path], object]) -> None:
    os.mkfifo(room / name)
    with pytest.raises(EdgepackError, match=r"is not a file|is a pipe or a device"):
        use(room / name)
