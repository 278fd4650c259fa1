"""The README keeps its word."""

import re

from tests.tour.conftest import ROOT, Tour


def test_the_tour_runs_as_it_stands(tour: Tour) -> None:
    assert list(tour.printed) == ["train", "convert", "inspect", "verify", "choose", "run", "bench"]


def test_a_seven_is_read_as_a_seven(tour: Tour) -> None:
    assert tour.printed["run"].startswith("examples/digits/seven.png: 7 (")


def test_all_files_that_can_be_written_agree_with_keras(tour: Tour) -> None:
    assert "13 of 14 files agree with Keras" in tour.printed["convert"]


def test_every_link_leads_somewhere() -> None:
    for page in (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")):
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text(encoding="utf-8")):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"
