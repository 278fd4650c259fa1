"""What outlives a server: it is written in one step, shared among processes, and never stops a start."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import msgspec
import pytest

from edgepack.runtime.errors import OutputError
from edgepack.runtime.serve import policy
from edgepack.runtime.serve.state import FILE, ModelState, StateFile


def test_what_is_changed_is_read_by_another(tmp_path: Path) -> None:
    one, other = StateFile(tmp_path), StateFile(tmp_path)
    assert other.read() == {}
    one.change("m", lambda state: state.labelled("stable", 3))
    assert other.read() == {"m": ModelState(labels={"stable": 3})}
    other.change("m", lambda state: state.without(2))
    assert one.read()["m"] == ModelState(labels={"stable": 3}, out=(2,))


def test_changes_at_the_same_time_are_all_kept(tmp_path: Path) -> None:
    def change(number: int) -> None:
        StateFile(tmp_path).change(f"m{number % 5}", lambda state: state.without(number + 1))

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(change, range(40)))
    assert sum(len(state.out) for state in StateFile(tmp_path).read().values()) == 40


def test_a_change_that_changes_nothing_writes_nothing(tmp_path: Path) -> None:
    StateFile(tmp_path).change("m", ModelState.forgiven)
    assert not (tmp_path / FILE).exists()


@pytest.mark.parametrize(
    "data", [b"", b"{", b"[]", b'{"m": 3}', b'{"m": {"away": ["x"]}}', b'{"m": {"labels": {"stable": -1}}}',
             b"\xff\xfe", b"[" * 100_000, b" " * 2**21],
    ids=["empty", "cut", "list", "number", "word", "negative", "bytes", "deep", "huge"],
)  # fmt: skip
def test_a_damaged_state_is_passed_over_and_mended_by_the_next_change(tmp_path: Path, data: bytes) -> None:
    (tmp_path / FILE).write_bytes(data)
    file = StateFile(tmp_path)
    assert file.read() == {}
    file.change("m", lambda state: state.without(1))
    assert StateFile(tmp_path).read() == {"m": ModelState(out=(1,))}


def test_fields_of_a_later_edgepack_are_passed_over(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"m": {"good": 2, "mirror": 0.1}}')
    assert StateFile(tmp_path).read() == {"m": ModelState(good=2)}


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="cannot write"):
        StateFile(tmp_path / "no").change("m", lambda state: state.without(1))


@pytest.mark.parametrize(
    ("rule", "state", "bad", "expected"),
    [
        (1, ModelState(), (), (4,)),
        (2, ModelState(), (), (4, 3)),
        (1, ModelState(), (4,), (3,)),
        (1, ModelState(away=(4,)), (), (3,)),
        ("all", ModelState(), (2,), (4, 3, 1)),
        ("all", ModelState(away=(4,)), (), (3, 2, 1, 4)),
        (("1", "3", "7"), ModelState(), (), (3, 1)),
        (1, ModelState(labels={"stable": 2}), (), (2, 4)),
        (1, ModelState(labels={"stable": 2, "canary": 3}), (), (2, 4, 3)),
        (1, ModelState(labels={"stable": 2}), (2,), (1, 4)),
        (1, ModelState(labels={"stable": 1}), (1,), (4,)),
        (1, ModelState(asked=(2,)), (), (4, 2)),
        (1, ModelState(out=(4,)), (), ()),
        ("all", ModelState(out=(4, 1)), (), (3, 2)),
        ("all", ModelState(unloaded=True), (), ()),
        (1, ModelState(away=(1, 2, 3, 4)), (), ()),
    ],
)
def test_what_is_wanted_and_in_which_order(
    rule: policy.Policy, state: ModelState, bad: tuple[int, ...], expected: tuple[int, ...]
) -> None:
    assert policy.wanted([1, 2, 3, 4], bad, state, rule) == expected


def test_a_rollback_goes_below_what_was_rolled_back_before() -> None:
    state = ModelState().rolled_back(3, 2)
    assert policy.before(4, [1, 2, 3, 4], state) == [2, 1]
    assert state.loaded(3).away == ()


def test_a_rollback_takes_the_stable_label_along() -> None:
    state = ModelState(labels={"stable": 3, "canary": 4}).rolled_back(3, 2)
    assert state.labels == {"stable": 2, "canary": 4}


def test_the_state_is_plain_json(tmp_path: Path) -> None:
    StateFile(tmp_path).change("m", lambda state: state.labelled("stable", 3).begun(4))
    assert msgspec.json.decode((tmp_path / FILE).read_bytes()) == {"m": {"labels": {"stable": 3}, "trying": {"4": 1}}}


def test_a_state_that_cannot_be_read_is_kept_in_mind_and_never_written_over(tmp_path: Path) -> None:
    file = StateFile(tmp_path)
    file.change("m", lambda state: state.labelled("stable", 3))
    written = (tmp_path / FILE).read_bytes()
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).symlink_to(FILE)  # a circle: the system refuses to follow it
    assert file.read() == {"m": ModelState(labels={"stable": 3})}
    with pytest.raises(OutputError, match=r"cannot read .*nothing was changed"):
        file.change("n", lambda state: state.without(1))
    (tmp_path / FILE).unlink()
    (tmp_path / FILE).write_bytes(written)
    assert file.change("n", lambda state: state.without(1)).keys() == {"m", "n"}


def test_what_another_wrote_is_told_from_what_was_written_here(tmp_path: Path) -> None:
    one, other = StateFile(tmp_path), StateFile(tmp_path)
    assert not one.is_changed()
    one.change("m", lambda state: state.without(2))
    assert not one.is_changed()
    assert other.is_changed()
    other.read()
    assert not other.is_changed()
