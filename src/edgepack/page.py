"""One self-contained HTML page of tables, facts and plots: what the reports of edgepack are shown in.

Nothing on the page comes from elsewhere: no script, no font, no style sheet. Whatever names it is given are escaped.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Literal

from edgepack.plots import require

__all__ = [
    "Cell",
    "Facts",
    "Mark",
    "Notes",
    "Plot",
    "Section",
    "Table",
    "render",
]

_NUMBER = re.compile(r"[-+\u2212]?[\d.,]+(e[-+]?\d+)?\s*(%|\u00d7|[a-zA-Zµ/]{1,4})?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Mark:
    """A cell shown as a small badge."""

    text: str
    tone: Literal["good", "bad", "plain"] = "plain"


Cell = str | Mark


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under columns; the first cell names its row, and columns of numbers are set right."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    note: str = ""

    @property
    def numeric(self) -> tuple[bool, ...]:
        """Which columns hold numbers, with or without a unit, and dashes for those that are missing."""
        texts = [[cell for cell in column if isinstance(cell, str)] for column in zip(*self.rows, strict=True)]
        return tuple(_is_numeric(cells) for cells in texts) or (False,) * len(self.columns)


@dataclass(frozen=True, slots=True)
class Plot:
    """A drawing; `svg` is put on the page as it is, so it must come from `edgepack.plots`."""

    title: str
    svg: str
    caption: str = ""


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and what they stand for, such as the facts of a machine."""

    title: str
    items: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Notes:
    """Sentences that stand out, such as warnings."""

    title: str
    items: tuple[str, ...]


Section = Table | Plot | Facts | Notes


def render(title: str, lead: str, sections: Sequence[Section]) -> str:
    """The whole page as HTML.

    Args:
        title: Its heading and the title of the window.
        lead: What it says, in a sentence or two.
        sections: What follows, from top to bottom.

    Raises:
        MissingExtraError: matplotlib or jinja2 is not installed.
    """
    require()
    from jinja2 import Environment

    from edgepack import __version__

    source = resources.files("edgepack").joinpath("page.html.j2").read_text(encoding="utf-8")
    template = Environment(autoescape=True, trim_blocks=True, lstrip_blocks=True).from_string(source)
    named = [(type(section).__name__, section) for section in sections]
    return template.render(title=title, lead=lead, sections=named, version=__version__)


def _is_numeric(cells: Sequence[str]) -> bool:
    filled = [cell for cell in cells if cell not in {"", "\u2013", "—", "-"}]
    return bool(filled) and all(_NUMBER.fullmatch(cell) for cell in filled)
