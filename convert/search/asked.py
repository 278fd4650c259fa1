"""What is asked of a search: its budgets, its aim, and the words in which a command line gives them."""

import math
import re
from typing import Any, Literal, get_args

import msgspec

from edgepack.runtime.device import check_threads
from edgepack.runtime.errors import InputError, UnknownNameError

Aim = Literal["latency", "size"]
Keep = Literal["front", "all"]

_SIZES = {"": 1, "B": 1, "kB": 10**3, "MB": 10**6, "GB": 10**9, "KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}
_TIMES = {"us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "min": 60.0, "h": 3600.0}
_AMOUNT = re.compile(r"\s*(\d+(?:\.\d+)?)\s*([a-zA-Zµ]*)\s*", re.ASCII)


class Search(msgspec.Struct, frozen=True, kw_only=True):
    """What a search may cost and what it looks for; `max_drop` is the conversion's own."""

    budget_seconds: float = 300.0
    """How long it may take; what it does not reach is listed as not tried."""
    max_size: int | None = None
    """Bytes of a file; None is any number."""
    max_latency_us: float | None = None
    """Median microseconds of one row; None is any number."""
    aim: Aim = "latency"
    """What is to be small, of all files inside the budgets."""
    keep: Keep = "front"
    """What goes into the pack: the Pareto front, or every file that is right."""
    threads: int = 1
    """How many threads a file is timed with."""

    @property
    def said_threads(self) -> str:
        """The threads, for people."""
        return "one thread" if self.threads == 1 else f"{self.threads} threads"

    def check(self) -> "Search":
        """Return it.

        Raises:
            InputError: A budget that cannot be, or no such number of threads.
            UnknownNameError: An aim or a value of `keep` that there is none of.
        """
        for name, value, unit in (
            ("budget", self.budget_seconds, "seconds"),
            ("max_size", self.max_size, "bytes"),
            ("max_latency", self.max_latency_us, "microseconds"),
        ):
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} is {value:g} {unit}; it takes more than 0")
        for name, asked, known in (("aim", self.aim, get_args(Aim)), ("keep", self.keep, get_args(Keep))):
            if asked not in known:
                raise UnknownNameError(name, asked, known)
        check_threads(self.threads)
        return self


def make_search(budget: str, max_size: str | None, max_latency: str | None, **others: Any) -> Search:
    """A search from text, as the command line has it: `"5min"`, `"200kB"`, `"5ms"`.

    Raises:
        InputError, UnknownNameError: As `Search.check`; an amount in another form.
    """
    return Search(
        budget_seconds=seconds_of("--budget", budget),
        max_size=None if max_size is None else bytes_of("--max-size", max_size),
        max_latency_us=None if max_latency is None else 1e6 * seconds_of("--max-latency", max_latency),
        **others,
    ).check()


def seconds_of(name: str, text: str) -> float:
    """An amount of time in seconds; raises `InputError` for text without a unit of time."""
    return _amount(name, text, _TIMES, "5min, 30s, 5ms or 800us")


def bytes_of(name: str, text: str) -> int:
    """An amount of bytes, with 1,000 to the kB and 1,024 to the KiB; raises `InputError` for another unit."""
    return round(_amount(name, text, _SIZES, "a number of bytes, 200kB, 1.5MB or 512KiB"))


def _amount(name: str, text: str, units: dict[str, float] | dict[str, int], example: str) -> float:
    found = _AMOUNT.fullmatch(text)
    if found is None or found[2] not in units:
        raise InputError(f"{name} is {text!r}; it takes {example}")
    return float(found[1]) * units[found[2]]
