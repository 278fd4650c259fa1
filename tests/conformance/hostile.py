"""Cases that misbehave, to see what the sweep makes of them."""

import os
import time
from typing import Any

from tests.conformance.making import Case, Tensor, one


def _dies(*_: Any) -> None:
    os.abort()


def _hangs(*_: Any) -> None:
    time.sleep(3600)


def _fails(*_: Any) -> None:
    raise ValueError("this one cannot be built")


_INPUT = Tensor((3,))
CASES: tuple[Case, ...] = (
    one("Dense", "dies", _INPUT, _dies),
    one("Dense", "hangs", _INPUT, _hangs),
    one("Dense", "fails", _INPUT, _fails),
    one("Dense", "works", _INPUT, lambda layers, x: layers.Dense(2)(x)),
)
