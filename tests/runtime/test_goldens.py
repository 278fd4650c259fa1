"""The golden samples at load: what gives other answers here is not used."""

from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.runtime.errors import EngineError, InputError
from edgepack.runtime.goldens import check
from edgepack.runtime.manifest import Golden
from edgepack.runtime.pack import encode_array, reference
from edgepack.runtime.tensor import Array
from tests.conftest import Child
from tests.zoo import packs

_INPUTS = {"x": np.array([[1.0], [2.0], [4.0]], np.float32)}
_WANTED = {"y": np.array([[2.0], [4.0], [8.0]], np.float32)}


def _double(feeds: Mapping[str, Array]) -> dict[str, Array]:
    return {"y": feeds["x"] * 2}


def _fails(_: Mapping[str, Array]) -> dict[str, Array]:
    raise InputError("no")


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        (_double, ""),
        (lambda feeds: {"y": feeds["x"] * np.float32(np.nan)}, "it gives NaN on the golden samples here"),
        (lambda feeds: {"y": feeds["x"] * 0}, "it gives nothing but zeros on the golden samples here"),
        (lambda feeds: {"y": feeds["x"] * 0 + 3}, "it gives the same answer to every golden sample here"),
        (lambda feeds: {"y": feeds["x"] * 2.5}, "it is 2 away from the golden samples here, allowed 0.001"),
        (_fails, "it fails on the golden samples here: no"),
        (lambda _: {"y": np.zeros((1, 1), np.float32)}, "it fails on the golden samples here: output 'y' has shape"),
    ],
    ids=["right", "NaN", "zeros", "constant", "drift", "an error", "another shape"],
)
def test_the_answer_says_what_is_wrong(run: Callable[[Mapping[str, Array]], dict[str, Array]], reason: str) -> None:
    answer = check(run, [(_INPUTS, _WANTED)], 1e-3)
    assert answer.reason.startswith(reason)
    assert bool(answer.reason) == bool(reason)


def test_fewer_bits_may_be_farther_off() -> None:
    goldens = [(_INPUTS, _WANTED)]
    assert check(lambda feeds: {"y": feeds["x"] * 2.05}, goldens, 1e-3).reason
    assert not check(lambda feeds: {"y": feeds["x"] * 2.05}, goldens, 1e-3, reduced=True).reason


def _with_other_goldens(path: Path) -> Path:
    """A pack whose golden outputs are not what its files give."""
    manifest, files = packs.mlp()
    (golden,) = manifest.goldens
    data = encode_array(np.full((4, 3), 9.0, np.float32))
    ref = reference("goldens/other.npy", data)
    changed = msgspec.structs.replace(manifest, goldens=(Golden(golden.inputs, {"y": ref}),))
    return packs.write(path, (changed, {**files, ref.path: data}))


def test_a_pack_that_gives_other_answers_here_is_not_opened(tmp_path: Path) -> None:
    with pytest.raises(EngineError, match="away from the golden samples here, allowed"):
        edgepack.load(_with_other_goldens(tmp_path / "p.edgepack"))


def test_the_check_can_be_left_out(tmp_path: Path) -> None:
    with edgepack.load(_with_other_goldens(tmp_path / "p.edgepack"), check=False) as session:
        assert session.provider == "cpu"


def test_a_session_that_failed_the_check_is_closed(tmp_path: Path, child: Child) -> None:
    done = child(_FAILED_CHECK, _with_other_goldens(tmp_path / "p.edgepack"))
    assert done.stdout == "False\n", done.stderr


_FAILED_CHECK = """
import sys, edgepack
from edgepack.runtime.session import is_any_open
try:
    edgepack.load(sys.argv[1])
except edgepack.EdgepackError:
    print(is_any_open())
"""


def test_where_time_is_short_two_rows_are_run_in_any_case() -> None:
    sizes: list[int] = []

    def slow(feeds: Mapping[str, Array]) -> dict[str, Array]:
        sizes.append(len(feeds["x"]))
        return _double(feeds)

    ticks = iter(range(100))
    assert not check(slow, [(_INPUTS, _WANTED)], 1e-3, seconds=0.5, clock=lambda: float(next(ticks))).reason
    assert sizes == [2]


def test_where_there_is_time_every_row_is_run() -> None:
    wrong_at_the_end = {"y": np.array([[2.0], [4.0], [9.0]], np.float32)}
    assert check(_double, [(_INPUTS, wrong_at_the_end)], 1e-3, seconds=0.5, clock=lambda: 0.0).reason


@pytest.mark.parametrize(
    ("inputs", "wanted"),
    [({}, _WANTED), (_INPUTS, {}), ({"x": np.zeros((0, 1), np.float32)}, {"y": np.zeros((0, 1), np.float32)})],
    ids=["no-inputs", "no-outputs", "no-rows"],
)
def test_golden_samples_that_hold_nothing_prove_nothing(
    inputs: Mapping[str, Array], wanted: Mapping[str, Array]
) -> None:
    for seconds in (None, 1.0):
        assert check(_double, [(inputs, wanted)], 1e-3, seconds=seconds).reason.startswith("the golden samples hold")


@pytest.mark.parametrize("seconds", [None, 1.0])
def test_golden_samples_without_rows_are_run_as_they_are(seconds: float | None) -> None:
    inputs, wanted = {"x": np.float32(3) * np.ones((), np.float32)}, {"y": np.float32(6) * np.ones((), np.float32)}
    assert not check(_double, [(inputs, wanted)], 1e-3, seconds=seconds).reason
    assert check(lambda feeds: {"y": feeds["x"] * 3}, [(inputs, wanted)], 1e-3, seconds=seconds).reason
