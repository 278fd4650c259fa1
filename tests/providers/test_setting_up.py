"""What `scripts/providers` installs is pinned."""

import re

import pytest

from tests.providers.gpu import ROOT

LINES = [
    line
    for line in (ROOT / "requirements" / "providers.txt").read_text(encoding="utf-8").splitlines()
    if not line.startswith("#")
]


@pytest.mark.parametrize("line", LINES)
def test_a_package_is_pinned(line: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+==[0-9][0-9a-z.]*", line)
