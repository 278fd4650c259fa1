"""The overhead of a session is measured on both engines; how large it is belongs into a benchmark, not a test."""

from edgepack.benchmarks.overhead import measure_overhead
from tests.tour.conftest import Tour


def test_every_variant_is_held_against_its_engine_by_hand(tour: Tour) -> None:
    found = measure_overhead(tour.folder / "digits.edgepack", rounds=2, laps=3)
    assert len(found) == 13
    assert all(one.session_us > 0 and one.by_hand_us > 0 and one.ratio > 0 for one in found)
