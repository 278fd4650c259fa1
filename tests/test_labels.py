"""Labels lie where nobody takes one for another's."""

from itertools import combinations

import pytest

from edgepack.labels import Box, Bubble, Label, place

_FRAME = Box(0, 0, 460, 290)
_HEIGHT = 10.0
# Bubbles of one search: three formats' files in a row, some in one place.
_CROWDED = (
    Bubble(60, 260, 6, 85), Bubble(95, 260, 6, 90), Bubble(95, 260, 10, 75), Bubble(140, 260, 6, 85),
    Bubble(141, 260, 10, 65), Bubble(230, 260, 6, 0), Bubble(52, 207, 6, 0), Bubble(88, 210, 6, 0),
)  # fmt: skip


def _placed(bubbles: tuple[Bubble, ...]) -> list[Label]:
    return [one for one in place(bubbles, _FRAME, _HEIGHT) if one]


def test_the_label_of_a_lonely_bubble_lies_right_beside_it() -> None:
    (label,) = _placed((Bubble(100, 100, 5, 50),))
    assert label == Label(Box(108, 95, 158, 105), (1, 0), None)


def test_a_label_without_width_is_not_written() -> None:
    assert place((Bubble(100, 100, 5, 0),), _FRAME, _HEIGHT) == [None]


def test_what_comes_later_does_not_move_the_first() -> None:
    crowd = tuple(Bubble(60, 260, 6, width) for width in (85, 90, 75, 60))
    assert _placed(crowd)[0] == _placed(crowd[:1])[0]


def test_labels_hide_neither_each_other_nor_bubbles() -> None:
    found = _placed(_CROWDED)
    assert len(found) == 5
    assert all(one.box.shared(other.box) == 0 for one, other in combinations(found, 2))
    assert all(one.box.gap(bubble) > 0 for one in found for bubble in _CROWDED)
    assert all(one.box.beyond(_FRAME) == 0 for one in found)


def test_no_line_goes_through_another_label() -> None:
    found = _placed(_CROWDED)
    assert any(one.line for one in found)
    assert not [
        one for one in found for other in found if one.line and one is not other and other.box.is_crossed(one.line)
    ]


@pytest.mark.parametrize("count", [2, 3, 5, 8], ids=str)
def test_a_label_is_nearest_to_its_own_bubble(count: int) -> None:
    bubbles = tuple(Bubble(80 + 40 * at, 150 + 5 * (at % 2), 5, 60) for at in range(count))
    for own, label in zip(bubbles, _placed(bubbles), strict=True):
        assert min(bubbles, key=label.box.gap) is own


@pytest.mark.parametrize(
    ("line", "crossed"),
    [
        (((-5, 5), (15, 5)), True),
        (((5, 5), (50, 50)), True),
        (((-5, 20), (15, 20)), False),
        (((20, 0), (20, 10)), False),
    ],
    ids=["through", "from within", "above", "beside"],
)
def test_a_line_crosses_a_box_that_it_goes_through(
    line: tuple[tuple[float, float], tuple[float, float]], crossed: bool
) -> None:
    assert Box(0, 0, 10, 10).is_crossed(line) == crossed
