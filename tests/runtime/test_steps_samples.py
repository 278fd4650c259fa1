"""The steps that read raw samples and tell results: what each takes and refuses as options, and that JSON keeps it."""

from typing import Any

import msgspec
import numpy as np
import pytest

from edgepack.runtime.errors import PackError
from edgepack.runtime.manifest import Manifest, decode_manifest, encode
from edgepack.runtime.steps import Step, Steps, prepare
from edgepack.runtime.steps.assets import resolve, separate

# step -> options, and a sample that it takes
STEPS: dict[str, tuple[Step, Any]] = {
    "row": (Step("row", {"columns": ["age", "sex"]}), {"age": 3, "sex": "1"}),
    "row-of-many": (Step("row", {"columns": [f"c{index}" for index in range(500)]}), np.arange(500)),
    "series": (Step("series", {"length": 3, "channels": 2}), np.ones((5, 2))),
    "series-of-any-length": (Step("series", {"length": None, "channels": 1}), np.ones(4)),
    "sound": (Step("sound", {"rate": 1000, "seconds": 0.01}), np.ones(3, np.float32)),
    "sound-of-any-length": (Step("sound", {"rate": 1000, "seconds": None}), np.ones(3, np.int16)),
    "decide": (Step("decide", {"labels": ["no", "yes"], "threshold": 0.5}), np.array([0.7], np.float32)),
    "number": (Step("number", {"unit": "°C", "decimals": 1, "names": ["a", "b"]}), np.array([1.25, 2], np.float32)),
    "number-plain": (Step("number", {"unit": "", "decimals": None, "names": None}), np.array([1.25], np.float32)),
    "picture": (Step("picture", {"height": 2, "width": 1, "mode": "rgb"}), np.ones((2, 1, 3), np.float32) / 3),
}


@pytest.mark.parametrize(("step", "sample"), STEPS.values(), ids=STEPS)
def test_a_step_does_the_same_after_its_way_through_a_manifest(step: Step, sample: Any) -> None:
    written = encode(Manifest(1, "m", (), (), (), steps=Steps(inputs={"x": (step,)})))
    read = decode_manifest(written).steps.inputs["x"]
    assert read == (step,)
    wanted, found = prepare([step])(sample), prepare(read)(sample)
    assert type(wanted) is type(found)
    np.testing.assert_array_equal(wanted, found)


def test_many_columns_become_a_member_of_the_pack_and_are_found_again() -> None:
    steps = Steps(inputs={"x": (STEPS["row-of-many"][0],)})
    members: dict[str, bytes] = {}

    def add(data: bytes) -> str:
        members["assets/0.json"] = data
        return "assets/0.json"

    separated = separate(steps, add)
    assert len(msgspec.json.encode(separated)) < 200
    assert resolve(separated, members.__getitem__) == steps


BAD_OPTIONS: dict[str, list[dict[str, Any]]] = {
    "row": [
        {}, {"columns": []}, {"columns": "age"}, {"columns": 3}, {"columns": [1, 2]}, {"columns": ["a", "a"]},
        {"columns": ["a", " "]}, {"columns": {"a": 1}}, {"columns": None}, {"columns": ["a"], "sep": ";"},
        {"columns": [str(index) for index in range(100_001)]}, {"columns": [["a"], ["b"]]},
    ],
    "series": [
        {"length": 0}, {"length": -1}, {"length": "3"}, {"length": 2.5}, {"channels": 0}, {"channels": None},
        {"length": 10**6, "channels": 11}, {"length": 10**30}, {"length": 3, "chanels": 1}, {"channels": 10**8},
    ],
    "sound": [
        {}, {"rate": 0}, {"rate": -16000}, {"rate": 16000.0}, {"rate": "16000"}, {"rate": 10**9}, {"rate": 999},
        {"rate": 16000, "seconds": 0}, {"rate": 16000, "seconds": -1}, {"rate": 16000, "seconds": "1"},
        {"rate": 16000, "seconds": 10**9}, {"rate": 16000, "seconds": 1e-9}, {"rate": 16000, "seconds": [1]},
        {"rate": 16000, "seconds": 1, "channels": 1}, {"rate": 16000, "seconds": 10**400}, {"rate": None},
    ],
    "decide": [
        {}, {"labels": ["yes"]}, {"labels": ["a", "b", "c"]}, {"labels": "ny"}, {"labels": [0, 1]}, {"labels": None},
        {"labels": ["n", "y"], "threshold": 2}, {"labels": ["n", "y"], "threshold": "half"},
        {"labels": ["n", "y"], "threshold": -0.1}, {"labels": ["n", "y"], "top": 1},
    ],
    "number": [
        {"unit": 3}, {"unit": None}, {"decimals": -1}, {"decimals": 1.5}, {"decimals": 400}, {"decimals": "2"},
        {"names": "ab"}, {"names": []}, {"names": [1]}, {"digits": 2},
    ],
    "picture": [
        {}, {"height": 3}, {"height": 0, "width": 3}, {"height": 3, "width": "3"}, {"height": 2.5, "width": 3},
        {"height": 10**6, "width": 10**6}, {"height": 3, "width": 3, "mode": "L"}, {"height": None, "width": 3},
        {"height": 3, "width": 3, "mode": ["rgb"]}, {"height": 3, "width": 3, "depth": 3},
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("name", "options"),
    [(name, options) for name, several in BAD_OPTIONS.items() for options in several],
    ids=lambda value: str(value)[:40],
)
def test_options_that_do_not_fit_are_refused_when_the_pack_is_opened(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(PackError, match=rf"step '{name}' does not take these options"):
        prepare([Step(name, options)])
