"""Where the labels of bubbles go: each beside its own, over nothing else, and told from the others' by its line."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product

_DIRECTIONS = ((1, 0), (0, 1), (0, -1), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))  # where a label may go, best first
_NEAR = 3.0  # from the edge of a bubble to a label that needs no line
_FARTHER = (_NEAR, 14.0, 27.0, 42.0, 60.0)
_OUTSIDE, _FAR, _CROSSED, _MISREAD = 40.0, 0.2, 150.0, 4.0  # what a point, a crossing and so on cost in square points


@dataclass(frozen=True, slots=True)
class Bubble:
    """A circle and the width of its label, in points; a label without width is not written."""

    x: float
    y: float
    radius: float
    width: float


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle, in points."""

    left: float
    bottom: float
    right: float
    top: float

    def shared(self, other: "Box") -> float:
        """The area that two boxes share."""
        across = min(self.right, other.right) - max(self.left, other.left)
        upward = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0.0, across) * max(0.0, upward)

    def beyond(self, frame: "Box") -> float:
        """How far it reaches out of another."""
        return max(
            0.0, frame.left - self.left, self.right - frame.right, frame.bottom - self.bottom, self.top - frame.top
        )

    def gap(self, bubble: Bubble) -> float:
        """How far it is from the edge of a bubble; 0 where they touch."""
        across = max(self.left - bubble.x, 0.0, bubble.x - self.right)
        upward = max(self.bottom - bubble.y, 0.0, bubble.y - self.top)
        return max(0.0, math.hypot(across, upward) - bubble.radius)

    def is_crossed(self, line: "Line") -> bool:
        """Whether a line goes through it."""
        corners = (
            (self.left, self.bottom), (self.right, self.bottom), (self.right, self.top), (self.left, self.top)
        )  # fmt: skip
        ends_inside = any(self.left < x < self.right and self.bottom < y < self.top for x, y in line)
        return ends_inside or any(_cross(line, (corners[at - 1], corners[at])) for at in range(4))


_Place = tuple[float, float]
Line = tuple[_Place, _Place]


@dataclass(frozen=True, slots=True)
class Label:
    """Where one label goes."""

    box: Box
    side: tuple[int, int]
    """In which direction of the bubble it lies: -1, 0 or 1 along x and along y."""
    line: Line | None
    """From the label to the middle of its bubble; None where it lies beside it."""


def place(bubbles: Sequence[Bubble], frame: Box, height: float) -> list[Label | None]:
    """A place for the label of each bubble, the first ones first: what comes later takes what is left.

    A label hides as little as can be, leaves the frame only where it must, and is nearer to its own bubble than to
    another; lines cross neither each other nor labels.

    Args:
        bubbles: In points, the most important first.
        frame: What labels should lie within.
        height: Of a label, in points.

    Returns:
        As many as there are bubbles; None for those whose label has no width.
    """
    placed: list[Label | None] = []
    for bubble in bubbles:
        known = [one for one in placed if one]
        tried = [(_cost(one, bubble, bubbles, known, frame), one) for one in _choices(bubble, height)]
        placed.append(min(tried, key=lambda pair: pair[0])[1] if bubble.width else None)
    return placed


def _choices(bubble: Bubble, height: float) -> Iterator[Label]:
    """Everywhere a label may go, the nearest first."""
    for far, (dx, dy) in product(_FARTHER, _DIRECTIONS):
        reach = bubble.radius + far
        x, y = bubble.x + dx * reach, bubble.y + dy * (reach + height / 2)
        left = x - bubble.width * (1 - dx) / 2
        box = Box(left, y - height / 2, left + bubble.width, y + height / 2)
        line = ((x, y - dy * height / 2), (bubble.x, bubble.y)) if far > _NEAR else None
        yield Label(box, (dx, dy), line)


def _cost(label: Label, own: Bubble, bubbles: Sequence[Bubble], placed: Sequence[Label], frame: Box) -> float:
    """How bad a place is, in square points that are hidden and what is as bad as these."""
    box, line = label.box, label.line
    circles = [Box(one.x - one.radius, one.y - one.radius, one.x + one.radius, one.y + one.radius) for one in bubbles]
    hidden = sum(map(box.shared, [*circles, *(one.box for one in placed)]))
    # Of bubbles that lie in one place nobody tells which is meant, wherever the label is.
    others = [one for one in bubbles if math.dist((one.x, one.y), (own.x, own.y)) > own.radius]
    mine = box.gap(own)
    misread = max((mine + _NEAR - box.gap(one) for one in others), default=0.0)
    crossed = sum(one.line is not None and box.is_crossed(one.line) for one in placed)
    if line:
        crossed += sum(one.box.is_crossed(line) for one in placed)
        crossed += sum(one.line is not None and _cross(line, one.line) for one in placed)
    return (
        hidden
        + _OUTSIDE * box.beyond(frame)
        + _FAR * mine
        + _CROSSED * crossed
        + _MISREAD * max(0.0, misread)
    )  # fmt: skip


def _cross(one: Line, other: Line) -> bool:
    """Whether two lines cross, apart from ends that they share."""
    return _turn(*one, other[0]) * _turn(*one, other[1]) < 0 and _turn(*other, one[0]) * _turn(*other, one[1]) < 0


def _turn(start: _Place, end: _Place, at: _Place) -> float:
    """Above zero where `at` lies to the left of the way from start to end, below where it lies to the right."""
    return (end[0] - start[0]) * (at[1] - start[1]) - (end[1] - start[1]) * (at[0] - start[0])
