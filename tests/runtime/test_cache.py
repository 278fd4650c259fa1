"""The cache: what was put comes back, damage and strangers count as absent, and nothing depends on it."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from edgepack.runtime import cache_folder
from edgepack.runtime.cache import Blobs, Store
from tests.conftest import Child


class Choice(msgspec.Struct, frozen=True):
    variant: str
    p50_us: float


CHOICE = Choice("onnx-int8", 41.5)
LONG_AGO = 1_000_000_000.0


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv(cache_folder.ENVIRONMENT, str(tmp_path / "cache"))
    return tmp_path / "cache"


def only_file(home: Path, kind: str) -> Path:
    (found,) = (home / kind).iterdir()
    return found


def writes(content: bytes) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(content)


@pytest.fixture
def as_a_plain_user() -> None:
    if not hasattr(os, "getuid") or os.getuid() == 0:
        pytest.skip("the superuser may write everywhere")


def test_tests_and_their_children_stay_out_of_the_real_cache(monkeypatch: pytest.MonkeyPatch, child: Child) -> None:
    monkeypatch.undo()  # what this module sets for itself
    kept = child("from edgepack.runtime import cache_folder\nprint(cache_folder.folder())").stdout.strip()
    assert Path(kept).is_relative_to(tempfile.gettempdir())


# Where it lies


@pytest.mark.skipif(sys.platform in {"win32", "darwin"}, reason="this system keeps caches elsewhere")
@pytest.mark.parametrize(
    ("environment", "wanted"),
    [
        ({"HOME": "/home/me"}, "/home/me/.cache/edgepack"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/var/mine"}, "/var/mine/edgepack"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "mine"}, "/home/me/.cache/edgepack"),
        ({"HOME": "/home/me", "XDG_CACHE_HOME": "/var/mine", "EDGEPACK_CACHE": "/here"}, "/here"),
        ({"HOME": "/home/me", "EDGEPACK_CACHE": "~/here"}, "/home/me/here"),
        ({"HOME": "/home/me", "EDGEPACK_CACHE": ""}, "/home/me/.cache/edgepack"),
    ],
    ids=["home", "xdg", "relative-xdg", "own", "own-in-home", "empty"],
)
def test_the_cache_lies_where_the_environment_says(
    monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], wanted: str
) -> None:
    for name in ("HOME", "XDG_CACHE_HOME", "EDGEPACK_CACHE"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert cache_folder.folder() == wanted


# Records


@pytest.mark.parametrize(
    ("value", "of"),
    [(CHOICE, Choice), ({"a": 1.5}, dict[str, float]), ([1, 2], list[int]), ("text", str), (False, bool)],
    ids=["struct", "dict", "list", "text", "false"],
)
def test_a_record_comes_back_as_it_was(value: Any, of: Any) -> None:
    Store("choices").put("a key", value)
    assert Store("choices").get("a key", of) == value


def test_a_key_that_was_never_put_gives_nothing() -> None:
    assert Store("choices").get("a key", Choice) is None


def test_a_record_is_replaced_by_the_next_one(home: Path) -> None:
    for microseconds in (1.0, 2.0):
        Store("choices").put("a key", Choice("x", microseconds))
    assert Store("choices").get("a key", Choice) == Choice("x", 2.0)
    only_file(home, "choices")


def test_a_person_can_read_a_record_and_which_one_it_is(home: Path) -> None:
    Store("choices").put("mlp.edgepack on this device/..", CHOICE)
    file = only_file(home, "choices")
    assert file.name.startswith("mlp.edgepack-on-this-device-")
    assert json.loads(file.read_text()) == {
        "format": 1, "key": "mlp.edgepack on this device/..", "value": {"variant": "onnx-int8", "p50_us": 41.5},
    }  # fmt: skip
    assert "\n" in file.read_text().strip()


@pytest.mark.parametrize("key", ["../../out", "/etc/passwd", "", ".", "a" * 5000, "name\0with\nall", "模型"], ids=repr)
def test_any_key_stays_inside_the_folder(home: Path, key: str) -> None:
    Store("choices").put(key, CHOICE)
    assert Store("choices").get(key, Choice) == CHOICE
    assert only_file(home, "choices").parent == home / "choices"


def test_keys_that_look_alike_are_different(home: Path) -> None:
    for number, key in enumerate(("a b", "a/b", "a-b")):
        Store("choices").put(key, number)
    assert [Store("choices").get(key, int) for key in ("a b", "a/b", "a-b")] == [0, 1, 2]


def test_kinds_do_not_see_each_other() -> None:
    Store("choices").put("a key", 1)
    assert Store("trials").get("a key", int) is None


def _as_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def _as_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def _as_link(path: Path) -> None:
    elsewhere = path.parent.parent / "elsewhere"
    path.rename(elsewhere)
    path.symlink_to(elsewhere)


def _of_another_key(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"a key", b"b key"))


DAMAGE: dict[str, Callable[[Path], object]] = {
    "empty": writes(b""),
    "cut-short": lambda path: path.write_bytes(path.read_bytes()[:-9]),
    "binary": writes(bytes(range(256)) * 9),
    "other-json": writes(b"[1, 2]"),
    "other-value": writes(b'{"format": 1, "key": "a key", "value": {"variant": 7}}'),
    "of-another-time": writes(b'{"format": 0, "key": "a key", "value": {"variant": "x", "p50_us": 1}}'),
    "of-another-key": _of_another_key,
    "deep": writes(b'{"format": 1, "key": "a key", "value": ' + b"[" * 100_000),
    "huge": writes(b'{"format": 1, "key": "a key", "pad": "' + b" " * 2**21 + b'"}'),
    "not-utf-8": writes(b'{"format": 1, "key": "a key", "value": {"variant": "\xff", "p50_us": 1}}'),
    "folder": _as_folder,
    "pipe": _as_pipe,
    "link": _as_link,
}


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and links in folders")
@pytest.mark.parametrize("damage", DAMAGE.values(), ids=DAMAGE)
def test_a_damaged_record_is_absent_and_removed_and_can_be_put_again(
    home: Path, damage: Callable[[Path], object]
) -> None:
    store = Store("choices")
    store.put("a key", CHOICE)
    damage(only_file(home, "choices"))
    assert store.get("a key", Choice) is None
    assert list((home / "choices").iterdir()) == []
    store.put("a key", CHOICE)
    assert store.get("a key", Choice) == CHOICE


@pytest.mark.skipif(sys.platform == "win32", reason="no links in folders")
def test_what_a_link_leads_to_is_neither_read_nor_changed(home: Path) -> None:
    store = Store("choices")
    store.put("a key", CHOICE)
    _as_link(only_file(home, "choices"))
    before = (home / "elsewhere").read_bytes()
    store.put("a key", Choice("another", 1.0))
    assert not only_file(home, "choices").is_symlink()
    assert (home / "elsewhere").read_bytes() == before


@pytest.mark.skipif(sys.platform == "win32", reason="no links in folders")
def test_a_folder_that_holds_something_stays_and_disturbs_nobody(home: Path) -> None:
    store = Store("choices")
    store.put("a key", CHOICE)
    file = only_file(home, "choices")
    _as_folder(file)
    (file / "mine").write_text("mine")
    store.put("a key", CHOICE)
    assert store.get("a key", Choice) is None
    store.clear()
    assert (file / "mine").read_text() == "mine"
    assert only_file(home, "choices") == file  # nothing half written beside it


def test_a_file_of_another_user_is_not_trusted(home: Path) -> None:
    if not hasattr(os, "getuid") or os.getuid() != 0:
        pytest.skip("only the superuser can give a file away")
    Store("choices").put("a key", CHOICE)
    os.chown(only_file(home, "choices"), 12345, -1)
    assert Store("choices").get("a key", Choice) is None


@pytest.mark.parametrize("place", ["a file", "a file/below"])
def test_without_a_folder_to_write_to_everything_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str
) -> None:
    (tmp_path / "a file").write_text("in the way")
    monkeypatch.setenv(cache_folder.ENVIRONMENT, str(tmp_path / place))
    Store("choices").put("a key", CHOICE)
    assert Store("choices").get("a key", Choice) is None
    assert Blobs("models").put("a key", writes(b"content")) is None
    assert Blobs("models").get("a key") is None
    Store("choices").clear()
    assert (tmp_path / "a file").read_text() == "in the way"


@pytest.mark.usefixtures("as_a_plain_user")
def test_a_folder_that_may_only_be_read_is_read(home: Path) -> None:
    Store("choices").put("a key", CHOICE)
    (home / "choices").chmod(0o500)
    try:
        Store("choices").put("another", CHOICE)
        assert Store("choices").get("a key", Choice) == CHOICE
        assert Store("choices").get("another", Choice) is None
    finally:
        (home / "choices").chmod(0o700)


_READ_ONLY = """
import os
from edgepack.runtime.cache import Blobs, Store
os.setuid(65534)
Store("choices").put("another", 1)
print(Store("choices").get("another", int), Store("choices").get("a key", int),
      Blobs("models").put("x", lambda path: path.write_bytes(b"x")))
"""


def test_a_user_without_rights_reads_what_the_system_left(monkeypatch: pytest.MonkeyPatch, child: Child) -> None:
    if not hasattr(os, "setuid") or os.getuid() != 0:
        pytest.skip("only the superuser can become another user")
    with tempfile.TemporaryDirectory() as home:  # pytest's own folders are closed to others
        monkeypatch.setenv(cache_folder.ENVIRONMENT, home)
        Store("choices").put("a key", 7)
        for folder in (Path(home), Path(home) / "choices"):
            folder.chmod(0o755)
        only_file(Path(home), "choices").chmod(0o644)
        done = child(_READ_ONLY)
    assert done.stdout == "None 7 None\n", done.stderr


def test_the_records_that_were_not_used_for_longest_make_room(home: Path) -> None:
    store = Store("choices", most_records=3)
    for age, key in enumerate(("c", "b", "a")):
        store.put(key, key)
        os.utime(next((home / "choices").glob(f"{key}-*")), (LONG_AGO - age,) * 2)
    assert store.get("a", str) == "a"  # the oldest, used now
    store.put("d", "d")
    assert [store.get(key, str) for key in "abcd"] == ["a", None, "c", "d"]


def test_the_newest_record_stays_even_where_the_clock_went_back(home: Path) -> None:
    store = Store("choices", most_records=1)
    store.put("a", "a")
    os.utime(only_file(home, "choices"), (4_000_000_000,) * 2)
    store.put("b", "b")
    assert (store.get("a", str), store.get("b", str)) == (None, "b")


def test_records_take_no_more_bytes_than_allowed(home: Path) -> None:
    store = Store("choices", most_bytes=5000)
    for number in range(9):
        store.put(str(number), "x" * 1000)
        assert sum(file.stat().st_size for file in (home / "choices").iterdir()) <= 5000
    assert store.get("8", str) == "x" * 1000
    store.put("large", "x" * 6000)
    assert store.get("large", str) is None
    assert store.get("8", str) == "x" * 1000


def test_clearing_removes_what_was_kept_and_nothing_else(home: Path) -> None:
    Store("choices").put("a key", CHOICE)
    (home / "choices" / "letter.json").write_text("mine")
    Store("choices").clear()
    assert only_file(home, "choices").name == "letter.json"


def test_strangers_in_the_folder_never_make_room(home: Path) -> None:
    (home / "choices").mkdir(parents=True)
    (home / "choices" / "letter.json").write_text("x" * 9000)
    os.utime(home / "choices" / "letter.json", (LONG_AGO, LONG_AGO))
    Store("choices", most_bytes=5000).put("a key", CHOICE)
    assert (home / "choices" / "letter.json").exists()
    assert Store("choices").get("a key", Choice) == CHOICE


def test_what_a_killed_writer_left_is_removed_once_it_is_old(home: Path) -> None:
    Store("choices").put("a key", CHOICE)
    for name in (".writing-old", ".writing-new"):
        (home / "choices" / name).mkdir()
        (home / "choices" / name / "made").write_text("half")
    os.utime(home / "choices" / ".writing-old", (LONG_AGO, LONG_AGO))
    Store("choices").put("another", CHOICE)
    assert [path.name for path in (home / "choices").glob(".*")] == [".writing-new"]


_WRITER = """
import sys
from edgepack.runtime.cache import Blobs, Store
me, store, blobs = int(sys.argv[1]), Store("choices", most_records=4), Blobs("models", most_files=4)
print("ready", flush=True)
sys.stdin.readline()
for turn in range(60):
    key = f"key {turn % 6}"
    store.put(key, [me] * 500)
    found = store.get(key, list[int])
    assert found is None or (len(found) == 500 and len(set(found)) == 1), found
    blobs.put(key, lambda path: path.write_bytes(bytes([me]) * 5000))
    path = blobs.get(key)
    try:
        content = path.read_bytes() if path else b""
    except FileNotFoundError:
        content = b""
    assert len(content) in (0, 5000) and len(set(content)) <= 1, content
print("done")
"""


def test_writers_in_several_processes_never_see_half_a_file(home: Path) -> None:
    writers = [
        subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(number)],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(4)
    ]  # fmt: skip
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("\n")
        writer.stdin.flush()
    for writer in writers:
        out, error = writer.communicate(timeout=60)
        assert out == "done\n", error
    assert 1 <= len(list((home / "choices").iterdir())) <= 4
    assert 1 <= len(list((home / "models").iterdir())) <= 4


# Files


def test_a_file_comes_back_whole(home: Path) -> None:
    put = Blobs("models", ending=".ort").put("mlp for this device", writes(b"content"))
    assert put == Blobs("models", ending=".ort").get("mlp for this device") == only_file(home, "models")
    assert put.read_bytes() == b"content"
    assert put.name.startswith("mlp-for-this-device-")
    assert put.suffix == ".ort"


def test_a_file_is_replaced_by_the_next_one(home: Path) -> None:
    for content in (b"one", b"two"):
        Blobs("models").put("a key", writes(content))
    assert only_file(home, "models").read_bytes() == b"two"


def test_a_key_without_a_file_gives_nothing() -> None:
    assert Blobs("models").get("a key") is None


FILE_DAMAGE = {name: DAMAGE[name] for name in ("empty", "cut-short", "binary", "folder", "pipe", "link")}


@pytest.mark.skipif(sys.platform == "win32", reason="no pipes and links in folders")
@pytest.mark.parametrize("damage", FILE_DAMAGE.values(), ids=FILE_DAMAGE)
def test_a_file_that_changed_is_absent_and_removed(home: Path, damage: Callable[[Path], object]) -> None:
    blobs = Blobs("models")
    blobs.put("a key", writes(b"content that is longer than nine bytes"))
    damage(only_file(home, "models"))
    assert blobs.get("a key") is None
    assert list((home / "models").iterdir()) == []
    assert blobs.put("a key", writes(b"content")) == blobs.get("a key") is not None


def test_files_that_were_not_used_for_longest_make_room(home: Path) -> None:
    blobs = Blobs("models", most_bytes=2500)
    for age, key in enumerate(("c", "b", "a")):
        path = blobs.put(key, writes(key.encode() * 800))
        assert path is not None
        os.utime(path, (LONG_AGO - age,) * 2)
    assert blobs.get("a") is not None
    blobs.put("d", writes(b"d" * 800))
    assert [blobs.get(key) is not None for key in "abcd"] == [True, False, True, True]


def test_a_file_larger_than_all_is_not_kept_and_costs_no_other(home: Path) -> None:
    blobs = Blobs("models", most_bytes=1000)
    blobs.put("small", writes(b"x"))
    assert blobs.put("large", writes(b"x" * 1001)) is None
    assert blobs.get("small") == only_file(home, "models")


def test_a_writer_that_makes_no_file_keeps_nothing(home: Path) -> None:
    assert Blobs("models").put("a key", lambda path: None) is None
    assert list((home / "models").iterdir()) == []


def test_what_a_writer_raises_comes_through_and_leaves_nothing(home: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        Blobs("models").put("a key", lambda path: (path.write_bytes(b"half"), 1 / 0))
    assert list((home / "models").iterdir()) == []


def test_clearing_removes_the_files(home: Path) -> None:
    Blobs("models").put("a key", writes(b"content"))
    Blobs("models").clear()
    assert list((home / "models").iterdir()) == []
