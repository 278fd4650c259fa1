"""Digests are those of SHA-256, whoever computes them."""

import hashlib

import pytest

from edgepack.runtime.digests import sha256
from tests.conftest import Child


@pytest.mark.parametrize("size", [0, 1, 63, 64, 65, 100_000, 2**21, 2**21 + 7])
def test_a_digest_is_that_of_hashlib(size: int) -> None:
    data = bytes(range(256)) * (size // 256 + 1)
    assert sha256(data[:size]) == hashlib.sha256(data[:size]).hexdigest()


_OPEN = """
import sys
from edgepack.runtime.pack import Pack
Pack(sys.argv[1]).close()
print("_hashlib" in sys.modules)
"""


def test_a_small_pack_is_opened_without_openssl(child: Child, mlp_pack: object) -> None:
    assert child(_OPEN, str(mlp_pack)).stdout == "False\n"
