"""What a search keeps: read again where it fits, begun anew with a note where it does not."""

import hashlib
from pathlib import Path

import pytest

from edgepack.convert.search.repairs import Account, Mending
from edgepack.convert.search.store import Store, check_folder, folder_of
from edgepack.convert.search.tried import Tried
from edgepack.convert.sensitivity import Sensitivity
from edgepack.convert.trials import Trial
from edgepack.runtime.errors import OutputError

_KEY = {"model": {"sha256": "a"}, "libraries": {"numpy": "2"}}
_TRIED = Tried(variant="onnx-int8", format="onnx", precision="int8", options={"float_layers": ["dense"]}, sha256="b")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    Store(tmp_path / "s", _KEY, []).add(_TRIED)
    return tmp_path / "s"


def _reopened(folder: Path, key: object = None) -> tuple[tuple[Tried, ...], list[str]]:
    notes: list[str] = []
    return Store(folder, _KEY if key is None else key, notes).trials, notes  # type: ignore[arg-type]


def test_trials_are_read_again(folder: Path) -> None:
    trials, notes = _reopened(folder)
    assert trials == (_TRIED,)
    assert notes == [f"search: 1 trials of {folder / 'state.json'} were not done again"]


def test_what_mending_came_to_is_read_again(folder: Path) -> None:
    trial = Trial("plain", {}, 1_000, 0.9, 0.1, 12.5, ("it loses too much",))
    mending = Mending(
        options={"float_layers": ["dense"]}, trials=(trial,), sensitivities=(Sensitivity("dense", 7.5, ("MatMul",)),)
    )
    account = Account(mends="onnx-int8", max_drop=0.01, aim="size", mending=mending)
    Store(folder, _KEY, []).add_mending(account)
    again = Store(folder, _KEY, [])
    assert again.mendings == (account,)
    assert again.trials == (_TRIED,)


def test_another_model_or_library_begins_anew(folder: Path) -> None:
    trials, notes = _reopened(folder, _KEY | {"libraries": {"numpy": "3"}})
    assert trials == ()
    assert "is of a search with other libraries; it begins anew" in notes[0]


@pytest.mark.parametrize(
    "damage",
    [b"", b"{", b"\xff\xfe", b"[]", b'{"version": 1, "key": {}, "trials": [{"variant": 3}]}', b"[" * 100_000],
    ids=["empty", "cut", "no-text", "another-kind", "wrong-type", "deep"],
)
def test_damage_begins_anew_with_a_note(folder: Path, damage: bytes) -> None:
    (folder / "state.json").write_bytes(damage)
    trials, notes = _reopened(folder)
    assert trials == ()
    assert "it begins anew" in notes[0]


def test_a_state_of_another_version_begins_anew(folder: Path) -> None:
    path = folder / "state.json"
    path.write_bytes(path.read_bytes().replace(b'"version": 2', b'"version": 99'))
    assert _reopened(folder) == ((), [f"search: {path} is of a search with version 99; it begins anew"])


def test_a_file_that_changed_is_not_the_file_of_the_trial(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", _KEY, [])
    tried = Tried(variant="a", format="onnx", precision="int8", sha256=hashlib.sha256(b"right").hexdigest())
    path = store.keep("a", "onnx", b"right")
    assert store.data(tried) == b"right"
    path.write_bytes(b"wrong")
    assert store.data(tried) is None


def test_only_what_the_search_wrote_is_removed_at_its_end(folder: Path) -> None:
    store = Store(folder, _KEY, [])
    store.keep("a", "onnx", b"data")
    store.add(Tried(variant="a", format="onnx", precision="int8", sha256=hashlib.sha256(b"data").hexdigest()))
    (folder / "mine.txt").write_text("mine")
    store.finish()
    assert sorted(path.name for path in folder.iterdir()) == ["mine.txt", "state.json"]


@pytest.mark.parametrize(
    ("output", "name"), [("a/x.edgepack", "x.search"), ("x.onnx", "x.onnx.search"), ("x/", "x.search")]
)
def test_the_folder_lies_beside_the_output(output: str, name: str) -> None:
    assert folder_of(output).name == name


def test_a_file_in_the_place_of_the_folder_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.search").write_text("mine")
    with pytest.raises(OutputError, match=r"x\.search is a file"):
        check_folder(tmp_path / "x.edgepack")
