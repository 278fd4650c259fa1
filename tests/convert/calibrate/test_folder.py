"""A folder of images goes through the model's own steps."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image  # noqa: TID253 - it draws what the steps read

from edgepack.convert.calibrate import Stream, open_stream
from edgepack.convert.source import Source, open_source
from edgepack.runtime.errors import DataError
from edgepack.runtime.manifest import FORMAT_VERSION, Card
from edgepack.runtime.steps.base import Step, Steps
from tests.convert.conftest import Toy

_CHAIN = (
    Step("image", {"mode": "grayscale"}),
    Step("resize", {"height": 8, "width": 8}),
    Step("scale", {"factor": 0.1}),
)
_CARD = Card(format_version=FORMAT_VERSION, name="toy", steps=Steps(inputs={"image": _CHAIN}))
_LABELLED = Card(
    format_version=FORMAT_VERSION,
    name="toy",
    steps=_CARD.steps,
    labels={"quadrant": ("south", "north", "east", "west")},
)


@pytest.fixture(scope="module")
def source(toy: Toy) -> Source:
    return open_source(toy.model)


def _draw(path: Path, value: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((16, 16), value, np.uint8)).save(path)


def _values(stream: Stream) -> list[int]:
    return [round(float(batch["image"].mean()) * 10) for batch in stream.batches(1)]


def test_images_come_in_sorted_order_and_nothing_else_does(source: Source, tmp_path: Path) -> None:
    for value, name in ((30, "c.png"), (10, "a.bmp"), (20, "b.PNG"), (90, ".hidden.png")):
        _draw(tmp_path / name, value)
    (tmp_path / "notes.txt").write_text("not an image")
    stream = open_stream(tmp_path, source, card=_CARD)
    assert _values(stream) == [10, 20, 30]
    assert stream.survey.classes == {}


@pytest.mark.parametrize(
    ("card", "names", "classes"),
    [
        (_LABELLED, ("north", "west"), {1, 3}),
        (_CARD, ("a", "b", "c", "d"), {0, 1, 2, 3}),
        (_CARD, ("a", "b"), None),
        (_LABELLED, ("a", "b", "c", "d"), None),
    ],
    ids=["its labels", "as many as classes", "fewer than classes", "other words than its labels"],
)
def test_folders_are_classes_where_that_is_sure(
    source: Source, tmp_path: Path, card: Card, names: tuple[str, ...], classes: set[int] | None
) -> None:
    for value, name in enumerate(names):
        _draw(tmp_path / name / "one.png", value)
    assert open_stream(tmp_path, source, card=card).survey.classes == ({"quadrant": classes} if classes else {})


def test_the_same_images_are_drawn_with_the_same_seed(source: Source, tmp_path: Path) -> None:
    for value in range(20):
        _draw(tmp_path / f"{value:02}.png", value)
    drawn = [_values(open_stream(tmp_path, source, card=_CARD, most=5, seed=seed)) for seed in (1, 1, 2)]
    assert len(drawn[0]) == 5
    assert drawn[0] == drawn[1] != drawn[2]


def test_a_broken_image_is_named(source: Source, tmp_path: Path) -> None:
    _draw(tmp_path / "a.png", 1)
    (tmp_path / "b.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"b\.png does not go through the model's steps"):
        assert open_stream(tmp_path, source, card=_CARD).survey


def test_a_folder_without_images_is_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"holds no files of images"):
        open_stream(tmp_path, source, card=_CARD)


def test_a_folder_for_a_model_without_steps_is_refused(source: Source, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no steps that make its inputs of an image.*--card"):
        open_stream(tmp_path, source)
