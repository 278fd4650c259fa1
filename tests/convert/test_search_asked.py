"""What is asked of a search: amounts in words, and one line for those that cannot be."""

from typing import Any

import pytest

from edgepack.convert.search import Search
from edgepack.convert.search.asked import bytes_of, make_search, seconds_of
from edgepack.convert.search.cli import asked_for
from edgepack.runtime.errors import EdgepackError, InputError

_USUAL: dict[str, Any] = {
    "budget": "5min", "max_size": None, "max_latency": None, "aim": "latency", "keep": "front", "threads": 1,
}  # fmt: skip


@pytest.mark.parametrize(
    ("text", "seconds"), [("5min", 300.0), ("90s", 90.0), ("5ms", 0.005), ("800us", 8e-4), ("1.5 h", 5400.0)]
)
def test_times_are_read_with_their_unit(text: str, seconds: float) -> None:
    assert seconds_of("--budget", text) == pytest.approx(seconds)


@pytest.mark.parametrize(
    ("text", "size"), [("200000", 200_000), ("200kB", 200_000), ("1.5MB", 1_500_000), ("512KiB", 524_288), ("7B", 7)]
)
def test_sizes_are_read_with_their_unit(text: str, size: int) -> None:
    assert bytes_of("--max-size", text) == size


@pytest.mark.parametrize("text", ["", "5", "min", "-5min", "5 minutes", "5min 3s", "1e3s", "nan s"])
def test_a_time_in_another_form_is_refused(text: str) -> None:
    with pytest.raises(InputError, match="it takes 5min, 30s, 5ms or 800us"):
        seconds_of("--budget", text)


def test_a_search_from_text_has_the_units_of_its_fields() -> None:
    found = make_search("2min", "200kB", "5ms", aim="size")
    assert found == Search(budget_seconds=120.0, max_size=200_000, max_latency_us=5000.0, aim="size")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"budget": "0s"}, "budget is 0 seconds; it takes more than 0"),
        ({"max_size": "0"}, "max_size is 0 bytes"),
        ({"aim": "beauty"}, "unknown aim 'beauty' (known: latency, size)"),
        ({"keep": "some"}, "unknown keep 'some' (known: front, all)"),
        ({"threads": 0}, "threads"),
    ],
    ids=["budget", "size", "aim", "keep", "threads"],
)
def test_what_cannot_be_is_one_line(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(EdgepackError) as caught:
        asked_for(search=True, **_USUAL | changes)
    assert message in str(caught.value)


def test_options_of_the_search_need_it() -> None:
    with pytest.raises(InputError, match="--max-size, --aim belongs to --search: add it too"):
        asked_for(search=False, **_USUAL | {"max_size": "9", "aim": "size"})
    assert asked_for(search=False, **_USUAL) is None
