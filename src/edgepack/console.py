"""What the commands print: results to stdout as tables or JSON, everything else to stderr."""

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import msgspec
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text


def show_json(value: Any) -> None:
    """Print a value (structs, dataclasses and plain data) as indented JSON on stdout, and nothing else there."""
    show_json_bytes(msgspec.json.encode(value, enc_hook=str))


def show_json_bytes(data: bytes) -> None:
    """Print a JSON document on stdout, indented, and nothing else there."""
    sys.stdout.write(msgspec.json.format(data, indent=2).decode().rstrip() + "\n")


def show_table(title: str, columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print a table on stdout; columns whose cells all look like numbers are set right."""
    cells = [[str(cell) for cell in row] for row in rows]
    table = Table(title=title, title_justify="left", title_style="bold")
    for index, column in enumerate(columns):
        numeric = bool(cells) and all(row[index][:1].isdigit() or row[index][:1] in {"", "-", "+"} for row in cells)
        table.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in cells:
        table.add_row(*(Text(cell) for cell in row))
    Console(file=sys.stdout, width=None if sys.stdout.isatty() else 160).print(table)


def show(text: str) -> None:
    """Print a line on stdout, as it is."""
    sys.stdout.write(f"{text}\n")


def note(text: str) -> None:
    """Print a line on stderr, as it is."""
    sys.stderr.write(f"{text}\n")


class Advance(Protocol):
    """Moves the progress bar: `done` pieces in all, and what is worked on now."""

    def __call__(self, done: int, text: str = "") -> None:
        """Show that `done` pieces are done, and `text` is next."""


@contextmanager
def progress(text: str, total: int) -> Iterator[Advance]:
    """Show a progress bar while the block runs; it yields the function that moves it.

    The bar appears with its first move, so that none stands above a mistake that is found at once. It is drawn on the
    terminal behind stderr even while `quiet` holds that stream back; where stderr is no terminal there is none.
    """
    with ExitStack() as stack:
        begun: list[tuple[Progress, TaskID]] = []

        def advance(done: int, text: str = "", *, title: str = text) -> None:
            if not begun:
                bar = stack.enter_context(_bar(stack))
                begun.append((bar, bar.add_task(title, total=total)))
            bar, task = begun[0]
            bar.update(task, completed=done, description=f"{title}: {text}" if text else title)

        yield advance


def _bar(stack: ExitStack) -> Progress:
    """A bar on a stream of its own."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    if not sys.stderr.isatty():
        return Progress(*columns, disable=True)
    terminal = stack.enter_context(os.fdopen(os.dup(sys.stderr.fileno()), "w", encoding="utf-8"))
    return Progress(*columns, console=Console(file=terminal))
