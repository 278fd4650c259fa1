"""What counts as a version of a model in a folder, and what is passed over."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgepack.runtime.errors import InputError, MissingFileError
from edgepack.runtime.pack import write_pack
from edgepack.runtime.serve.layout import check_name, check_version, highest, scan
from tests.zoo import packs


def made(folder: Path, *files: str) -> Path:
    """A folder with these files, which hold nothing; a name that ends with a slash is a folder."""
    for file in files:
        path = folder / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.mkdir() if file.endswith("/") else path.write_bytes(b"x")
    return folder


def found(folder: Path) -> dict[str, dict[int, str]]:
    """Name → version → path in the folder."""
    return {
        name: {version: place.path.relative_to(folder).as_posix() for version, place in versions.items()}
        for name, versions in scan(folder).models.items()
    }


def test_every_form_of_a_version_is_found(tmp_path: Path) -> None:
    made(tmp_path, "flat.edgepack", "files/1.edgepack", "files/12.edgepack", "inside/3/any.edgepack")
    made(tmp_path, "mixed/2.edgepack", "mixed.edgepack")
    (tmp_path / "folders").mkdir()
    write_pack(f"{tmp_path}/folders/4/", *packs.mlp())
    write_pack(f"{tmp_path}/one.edgepack/", *packs.mlp())
    assert found(tmp_path) == {
        "flat": {1: "flat.edgepack"},
        "files": {1: "files/1.edgepack", 12: "files/12.edgepack"},
        "inside": {3: "inside/3/any.edgepack"},
        "mixed": {1: "mixed.edgepack", 2: "mixed/2.edgepack"},
        "folders": {4: "folders/4"},
        "one": {1: "one.edgepack"},
    }
    assert scan(tmp_path).ignored == {}


@pytest.mark.parametrize(
    ("file", "why"),
    [
        (".hidden.edgepack", "hidden"), ("m/.3.edgepack", "hidden"), ("m/3.edgepack.part", "not finished"),
        ("m/3.tmp", "not finished"), ("notes.txt", "no .edgepack file"), ("m/readme", "no version"),
        ("m/0.edgepack", "no version"), ("m/01.edgepack", "no version"), ("m/-1.edgepack", "no version"),
        ("m/1.5.edgepack", "no version"), ("m/٣.edgepack", "no version"), ("m/7", "no .edgepack file"),
        ("m/8/", "it holds 0 packs"), ("a name.edgepack", "its name"), ("-m/1.edgepack", "its name"),
        ("m/99999999999999999999.edgepack", "no version"),
    ],
)  # fmt: skip
def test_what_is_no_version_is_ignored_with_its_reason(tmp_path: Path, file: str, why: str) -> None:
    made(tmp_path, file)
    layout = scan(tmp_path)
    assert layout.models == {}
    [(path, reason)] = layout.ignored.items()
    assert file.rstrip("/").startswith(path)
    assert why in reason


def test_links_are_never_followed(tmp_path: Path) -> None:
    secret = made(tmp_path / "elsewhere", "1.edgepack")
    folder = made(tmp_path / "models", "m/2/")
    (folder / "link.edgepack").symlink_to(secret / "1.edgepack")
    (folder / "linked").symlink_to(secret)
    (folder / "m" / "1.edgepack").symlink_to(secret / "1.edgepack")
    (folder / "m" / "2" / "p.edgepack").symlink_to(secret / "1.edgepack")
    layout = scan(folder)
    assert layout.models == {}
    assert sum("a link" in why for why in layout.ignored.values()) == 4


def test_a_pack_in_folder_form_without_a_version_is_told_where_to_go(tmp_path: Path) -> None:
    write_pack(f"{tmp_path}/m/", *packs.mlp())
    assert scan(tmp_path).ignored == {"m": "a pack in folder form without a version; move it to m/1"}


def test_a_version_that_is_there_twice_is_taken_once(tmp_path: Path) -> None:
    made(tmp_path, "m.edgepack", "m/1.edgepack", "m/1/p.edgepack")
    assert found(tmp_path) == {"m": {1: "m/1/p.edgepack"}}
    assert scan(tmp_path).ignored == {
        "m/1.edgepack": "m/1/p.edgepack is version 1 of m already",
        "m.edgepack": "m/1/p.edgepack is version 1 of m already",
    }


def test_a_version_folder_with_two_packs_is_none(tmp_path: Path) -> None:
    made(tmp_path, "m/1/a.edgepack", "m/1/b.edgepack")
    assert "2 packs" in scan(tmp_path).ignored["m/1"]


def test_another_file_has_another_mark(tmp_path: Path) -> None:
    write_pack(f"{tmp_path}/m.edgepack/", *packs.mlp())
    before = scan(tmp_path).models["m"][1]
    assert scan(tmp_path).models["m"][1].mark == before.mark
    (tmp_path / "m.edgepack" / "models" / "mlp.onnx").write_bytes(b"other")
    after = scan(tmp_path).models["m"][1]
    assert after.mark != before.mark
    assert after.size_bytes < before.size_bytes


def test_the_highest_number_counts_what_is_not_whole_too(tmp_path: Path) -> None:
    assert highest(tmp_path, "m") == 0
    made(tmp_path, "m.edgepack")
    assert highest(tmp_path, "m") == 1
    made(tmp_path, "m/3.edgepack", "m/5/", "m/9.edgepack.part")
    assert highest(tmp_path, "m") == 5


def test_a_folder_that_is_not_there_is_said(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match="no folder of models"):
        scan(tmp_path / "no")


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "a\\b", "a b", "x" * 101, "a\n", ".x", "-x", "a\0"])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    with pytest.raises(InputError, match="is not taken"):
        check_name(name)


@pytest.mark.parametrize("version", ["", "0", "-1", "01", "1.0", "²", "latest", "9" * 19, 0])
def test_versions_are_whole_numbers_from_1(version: str | int) -> None:
    with pytest.raises(InputError, match="whole numbers from 1"):
        check_version(version)
    assert check_version("12") == 12


def test_with_no_file_left_to_open_nothing_is_said_of_the_folder(tmp_path: Path) -> None:
    made(tmp_path, "m/1.edgepack")
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
    try:
        with pytest.raises(OSError, match="Too many open files"):
            scan(tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert found(tmp_path) == {"m": {1: "m/1.edgepack"}}


def test_a_pack_that_others_may_read_from_now_on_is_another_one(tmp_path: Path) -> None:
    path = made(tmp_path, "m.edgepack") / "m.edgepack"
    path.chmod(0o600)
    before = scan(tmp_path).models["m"][1]
    path.chmod(0o644)
    assert scan(tmp_path).models["m"][1].mark != before.mark


def test_a_folder_that_may_not_be_read_hides_no_other() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = made(Path(name), "closed/1.edgepack", "half/1/p.edgepack", "open/1.edgepack")
        folder.chmod(0o755)
        (folder / "closed").chmod(0)
        (folder / "half").chmod(0o744)
        with nobody():
            layout = scan(folder)
        assert list(layout.models) == ["open"]
        assert "Permission denied" in layout.ignored["closed"]


@contextlib.contextmanager
def nobody() -> Iterator[None]:
    """Run as a user whom files can be kept from: root reads everything."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)
