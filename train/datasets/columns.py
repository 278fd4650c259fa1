"""Columns of numbers in a CSV file with a header."""

import csv
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from edgepack.runtime.errors import DataError, MissingFileError
from edgepack.runtime.tensor import Array

__all__ = ["read_columns"]

_LARGEST = float(np.finfo(np.float32).max)


def read_columns(path: Path, names: Sequence[str]) -> Array:
    """The named columns, wherever they stand, as `(rows, names)`, float32; others are passed over.

    Raises:
        MissingFileError: There is no such file.
        DataError: It is no CSV file in UTF-8, a column is missing, or a cell of one holds no finite number.
    """
    if not path.exists():
        raise MissingFileError(path, "data file")
    try:
        with path.open(newline="", encoding="utf-8-sig") as file:
            header, *records = [record for record in csv.reader(file, strict=True) if record] or [[]]
    except IsADirectoryError as error:
        raise DataError(f"{path} is a folder, not a CSV file; give the file in it") from error
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} cannot be read as CSV in UTF-8 ({error}); save it as that") from error
    header = [cell.strip() for cell in header]
    missing = [name for name in names if name not in header]
    if missing:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, missing))} in its first line (it has: "
            f"{', '.join(header)[:300] or 'none'}); name the columns there"
        )
    places = [header.index(name) for name in names]
    rows = [_numbers(path, line, record, places, names) for line, record in enumerate(records, 2)]
    return np.array(rows, np.float32).reshape(len(rows), len(names))


def _numbers(path: Path, line: int, record: Sequence[str], places: Sequence[int], names: Sequence[str]) -> list[float]:
    """The cells of one record as numbers."""
    found = []
    for place, name in zip(places, names, strict=True):
        cell = record[place] if place < len(record) else ""
        try:
            value = float(cell)
        except ValueError:
            value = float("nan")
        if not abs(value) <= _LARGEST:
            raise DataError(
                f"{path}, record {line}, column {name!r} holds {cell[:40]!r}; a finite number belongs there: mend it, "
                "or leave the record out"
            )
        found.append(value)
    return found
