"""Numbers as people write them: a cell that must hold one, and the cells of CSV text."""

import csv
import io
from collections.abc import Iterator
from typing import Any

import numpy as np

from edgepack.runtime.errors import StepError

MOST_CSV_BYTES = 64_000_000
_MOST_RECORD_CHARACTERS = 4_000_000
_LARGEST = float(np.finfo(np.float32).max)


def number(value: Any, where: str) -> float:
    """Return a cell as a number that float32 can hold; text is read, and a StepError names `where` it is none."""
    try:
        found = float("nan") if getattr(value, "shape", ()) else float(value)
    except (TypeError, ValueError, OverflowError):
        found = float("nan")
    if not abs(found) <= _LARGEST:
        raise StepError(f"{where} holds {_shown(value)}; a finite number belongs there")
    return found


def is_number(cell: str) -> bool:
    """Whether a cell of CSV text can be read as a number of any kind, NaN and infinity among them."""
    try:
        float(cell)
    except ValueError:
        return False
    return True


def csv_cells(data: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    """The records of CSV text with the number of the line each ends on; cells are stripped, empty lines passed over.

    Args:
        data: UTF-8, with or without a mark at its beginning.
        name: The file, for messages.

    Raises:
        StepError: It is no such text, or a record is longer than any that numbers fill.
    """
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise StepError(f"{name} is not UTF-8 text; save it as CSV in UTF-8") from error
    length = 0

    def lines() -> Iterator[str]:
        nonlocal length
        for line in io.StringIO(text, newline=""):
            length += len(line)
            if length > _MOST_RECORD_CHARACTERS:  # before it is cut into millions of cells
                raise StepError(f"{name} holds a line of more than {_MOST_RECORD_CHARACTERS:,} characters")
            yield line

    reader = csv.reader(lines())
    try:
        for record in reader:
            length = 0
            cells = [cell.strip() for cell in record]
            if any(cells):
                yield reader.line_num, cells
    except csv.Error as error:
        raise StepError(f"{name}:{reader.line_num} cannot be read as CSV: {error}") from error


def _shown(value: Any) -> str:
    return "nothing" if value is None or value == "" else f"{value!r:.60}"
