"""The search on the command line: what is asked, what is printed, and what is said when it is stopped."""

import contextlib
from collections.abc import Iterator
from typing import Any

from edgepack import console
from edgepack.convert.search.asked import Search, make_search
from edgepack.convert.search.candidates import most_of
from edgepack.convert.search.findings import Findings
from edgepack.convert.search.shown import COLUMNS, front_rows
from edgepack.convert.search.store import folder_of
from edgepack.runtime.errors import InputError

_USUAL: dict[str, Any] = {
    "budget": "5min", "max_size": None, "max_latency": None, "aim": "latency", "keep": "front", "threads": 1,
}  # fmt: skip


def asked_for(*, search: bool, **given: Any) -> Search | None:
    """The search that was asked for; None where none was.

    Raises:
        InputError: An amount that cannot be, or an option of the search without it.
        UnknownNameError: An aim or a value of `keep` that there is none of.
    """
    if search:
        return make_search(given.pop("budget"), given.pop("max_size"), given.pop("max_latency"), **given)
    alone = [f"--{name.replace('_', '-')}" for name, value in given.items() if value != _USUAL[name]]
    if alone:
        raise InputError(f"{', '.join(alone)} belongs to --search: add it too")
    return None


def pieces_of(targets: str) -> int:
    """How many trials a search over these formats makes at most, before it has seen the model."""
    return sum(most_of(target.strip()) for target in targets.split(","))


@contextlib.contextmanager
def told(output: str, *, searched: bool) -> Iterator[None]:
    """While a search runs: Ctrl-C says how to go on."""
    try:
        yield
    except KeyboardInterrupt:
        if searched and folder_of(output).exists():
            console.note(
                f"edgepack: what was tried is kept in {folder_of(output)}: the same command goes on from there"
            )
        raise


def show_findings(findings: Findings) -> None:
    """Print the front, what was chosen and why, and what to know before it is trusted."""
    title = (
        f"Search: {len(findings.lines)} trials in {findings.seconds:,.0f} s, the front over latency, size and quality"
    )
    console.show_table(title, COLUMNS, front_rows(findings))
    console.show(findings.because)
    for line in findings.warnings:
        console.show(f"note: {line}")
