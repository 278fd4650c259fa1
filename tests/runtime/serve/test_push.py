"""Pushing and rolling back: whole and proved, or nothing."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from edgepack.runtime.errors import ConflictError, InputError, MissingFileError, NotServedError, OutputError, PackError
from edgepack.runtime.pack import Pack, write_pack
from edgepack.runtime.serve.layout import scan
from edgepack.runtime.serve.push import push, rollback
from edgepack.runtime.serve.state import ModelState, StateFile
from tests.runtime.serve.folders import BAD, numbered, put, sound
from tests.zoo import packs


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "models").mkdir()
    return tmp_path / "models"


@pytest.fixture
def pack(tmp_path: Path) -> Path:
    path = tmp_path / "any.edgepack"
    path.write_bytes(sound(1))
    return path


def pushed(pack: Path, folder: Path, name: str | None = None, version: int | None = None) -> Path:
    return Path(push(pack, folder, name, version).path)


def versions(folder: Path, name: str = "mlp") -> list[int]:
    return sorted(scan(folder).models.get(name, {}))


def test_a_pack_becomes_the_next_version_under_its_own_name(folder: Path, pack: Path) -> None:
    assert pushed(pack, folder) == folder / "mlp" / "1.edgepack"
    assert pushed(pack, folder) == folder / "mlp" / "2.edgepack"
    assert pushed(pack, folder, "other", 7) == folder / "other" / "7.edgepack"
    assert (folder / "mlp" / "2.edgepack").read_bytes() == pack.read_bytes()


def test_a_flat_pack_counts_as_version_1(folder: Path, pack: Path) -> None:
    (folder / "mlp.edgepack").write_bytes(pack.read_bytes())
    assert pushed(pack, folder).name == "2.edgepack"


def test_a_pack_in_folder_form_stays_one(folder: Path, tmp_path: Path) -> None:
    write_pack(f"{tmp_path}/p/", *numbered(1))
    assert pushed(tmp_path / "p", folder) == folder / "mlp" / "1"
    with Pack(folder / "mlp" / "1") as opened:
        assert opened.manifest == numbered(1)[0]


def test_numbers_are_never_given_twice(folder: Path, pack: Path) -> None:
    (folder / "mlp").mkdir()
    (folder / "mlp" / "3.edgepack").write_bytes(b"half")
    assert pushed(pack, folder).name == "4.edgepack"
    StateFile(folder).change("mlp", lambda state: state.without(8))
    assert pushed(pack, folder).name == "9.edgepack"


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_pack_is_not_pushed(folder: Path, tmp_path: Path, kind: str) -> None:
    (tmp_path / "p.edgepack").write_bytes(BAD[kind](1))
    with pytest.raises(PackError):
        push(tmp_path / "p.edgepack", folder)
    assert list(folder.rglob("*.edgepack")) == []


def test_a_version_that_is_there_is_kept(folder: Path, pack: Path) -> None:
    push(pack, folder, version=3)
    with pytest.raises(OutputError, match="version 3 of 'mlp' exists"):
        push(pack, folder, version="3")


@pytest.mark.parametrize("name", ["../x", "a/b", ".x"])
def test_a_name_that_leaves_the_folder_is_refused(folder: Path, pack: Path, name: str) -> None:
    with pytest.raises(InputError, match="name"):
        push(pack, folder, name)


def test_a_folder_is_made_where_there_is_one_to_make_it_in(tmp_path: Path, pack: Path) -> None:
    assert push(pack, tmp_path / "new").made_folder
    assert not push(pack, tmp_path / "new").made_folder
    assert versions(tmp_path / "new") == [1, 2]
    with pytest.raises(MissingFileError, match="no folder of models"):
        push(pack, tmp_path / "no" / "models")
    with pytest.raises(InputError, match="is a file; name the folder of models"):
        push(pack, pack)


def test_a_bad_pack_makes_no_folder(tmp_path: Path) -> None:
    (tmp_path / "p.edgepack").write_bytes(BAD["wrong goldens"](1))
    with pytest.raises(PackError, match="not pushed"):
        push(tmp_path / "p.edgepack", tmp_path / "new")
    assert not (tmp_path / "new").exists()


def with_another_variant(path: Path, *, first_is_right: bool) -> Path:
    """A pack of two variants, of which one gives wrong answers; the one that is closer to Keras comes first."""
    manifest, files = packs.mlp()
    [right] = [one for one in manifest.variants if one.format == "onnx"][:1]
    other, other_files = packs.tiles()
    [wrong_file] = [one.file for one in other.variants if one.format == "onnx"][:1]
    wrong = msgspec.structs.replace(right, name="onnx-int8", precision="int8", file=wrong_file)
    if not first_is_right:
        right = msgspec.structs.replace(right, file=wrong_file)
    changed = msgspec.structs.replace(manifest, variants=(right, wrong))
    del files["models/mlp.tflite"]
    write_pack(path, changed, {"models/tiles.onnx": other_files["models/tiles.onnx"], **files})
    return path


def test_a_variant_that_would_not_be_served_is_told_and_stops_nothing(folder: Path, tmp_path: Path) -> None:
    found = push(with_another_variant(tmp_path / "p.edgepack", first_is_right=True), folder)
    assert found.runs.startswith("onnx-float32 on ")
    assert any(reason.startswith("onnx-int8 on onnx: ") for reason in found.passed_over)
    assert versions(folder) == [1]


def test_a_pack_whose_every_variant_is_wrong_is_not_pushed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(PackError, match="is not pushed: "):
        push(with_another_variant(tmp_path / "p.edgepack", first_is_right=False), folder)
    assert versions(folder) == []


def test_what_a_push_that_was_cut_short_left_is_removed(folder: Path, pack: Path) -> None:
    push(pack, folder)
    left = folder / ".edgepack-push" / "9.edgepack"
    left.write_bytes(b"half")
    push(pack, folder)
    assert not left.exists()
    assert versions(folder) == [1, 2]


def test_many_at_once_each_get_their_own_version(folder: Path, pack: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        paths = list(pool.map(lambda _: pushed(pack, folder), range(8)))
    assert len(set(paths)) == 8
    assert versions(folder) == list(range(1, 9))


def test_a_rollback_is_kept_for_the_next_start(folder: Path) -> None:
    for version in (1, 2, 3):
        put(folder, "m", version)
    assert rollback(folder, "m") == "2"
    assert StateFile(folder).read()["m"].away == (3,)
    assert rollback(folder, "m") == "1"
    with pytest.raises(ConflictError, match="no version to go back to"):
        rollback(folder, "m")


def test_a_rollback_passes_over_what_is_not_whole(folder: Path) -> None:
    put(folder, "m", 1)
    (folder / "m" / "2.edgepack").write_bytes(BAD["truncated"](2))
    put(folder, "m", 3)
    assert rollback(folder, "m") == "1"


def test_a_rollback_moves_the_stable_label(folder: Path) -> None:
    for version in (1, 2, 3):
        put(folder, "m", version)
    StateFile(folder).change("m", lambda state: state.labelled("stable", 2))
    assert rollback(folder, "m") == "1"
    assert StateFile(folder).read()["m"] == ModelState(labels={"stable": 1}, away=(2,), good=1)


def test_a_model_that_is_not_there_is_said_with_those_that_are(folder: Path) -> None:
    put(folder, "m", 1)
    with pytest.raises(NotServedError, match=r"no model 'n' .*there are: m"):
        rollback(folder, "n")


def test_a_version_pushed_again_by_number_answers_again(folder: Path, pack: Path) -> None:
    for version in (1, 2):
        put(folder, "m", version)
    rollback(folder, "m")
    (folder / "m" / "2.edgepack").unlink()
    push(pack, folder, "m", 2)
    assert StateFile(folder).read()["m"].away == ()


def test_after_the_highest_number_there_is_no_next(folder: Path, pack: Path) -> None:
    push(pack, folder, version="9" * 18)
    with pytest.raises(InputError, match="is not taken"):
        push(pack, folder)
    assert versions(folder) == [int("9" * 18)]


def test_nothing_is_pushed_through_a_link(folder: Path, pack: Path, tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (folder / "mlp").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OutputError, match="is a link"):
        push(pack, folder)
    assert not list((tmp_path / "elsewhere").iterdir())
