"""Is this pack whole, and does every variant still give the golden answers on this device?"""

import os
from collections.abc import Callable

import msgspec
import numpy as np

from edgepack.runtime import engines
from edgepack.runtime.compare import Parity
from edgepack.runtime.errors import EdgepackError, PackError
from edgepack.runtime.goldens import check
from edgepack.runtime.loading import load
from edgepack.runtime.manifest import Variant
from edgepack.runtime.pack import Pack, decode_array
from edgepack.runtime.steps.samples import Preparation
from edgepack.runtime.tensor import Array


class Check(msgspec.Struct, frozen=True):
    """One variant on one engine: what was found."""

    variant: str
    engine: str
    passed: bool
    reason: str = ""
    """Why it did not pass, or could not be tried; empty when it passed."""
    tried: bool = True
    """False where no engine for it is installed here: that is no fault of the pack."""
    parity: Parity | None = None
    tolerance: float | None = None

    @property
    def is_wrong(self) -> bool:
        """Whether it was tried and did not pass."""
        return self.tried and not self.passed

    @property
    def verdict(self) -> str:
        """What was found, in a few words."""
        return "passed" if self.passed else f"{'FAILED' if self.tried else 'not tried'}: {self.reason}"


class Verification(msgspec.Struct, frozen=True):
    """What `verify` found."""

    pack: str
    members: int
    """Members whose size and digest are right."""
    unlisted: tuple[str, ...]
    """Members the manifest does not name; they are never read."""
    checks: tuple[Check, ...]
    steps: str = ""
    """Why the steps do not make the golden inputs of the raw golden samples here; empty when they do."""

    @property
    def failures(self) -> tuple[str, ...]:
        """Why the pack is not to be used here; empty when it is."""
        failed = [f"{one.variant} on {one.engine}: {one.reason}" for one in self.checks if one.is_wrong]
        if self.steps:
            failed.append(f"steps: {self.steps}")
        if not any(one.tried for one in self.checks):
            failed.append("no engine for any variant is installed here; run: pip install 'edgepack[onnx]'")
        return tuple(failed)


def verify(path: str | os.PathLike[str], *, progress: Callable[[int, str], None] | None = None) -> Verification:
    """Check every digest of a pack, then every variant against the golden samples in each engine installed here.

    Args:
        path: A pack.
        progress: Called with the number of variants done and the next one's name.

    Raises:
        MissingFileError: Nothing is at `path`.
        PackError: The pack is damaged, hostile, of another format version, or holds no golden samples.
    """
    with Pack(path) as pack:
        for ref in pack.references():
            pack.read(ref)
        if not pack.manifest.goldens:
            raise PackError(f"{path} holds no golden samples to verify with; build the pack again")
        goldens = [pack.golden(golden) for golden in pack.manifest.goldens]
        checks: list[Check] = []
        for done, variant in enumerate(pack.manifest.variants):
            if progress:
                progress(done, variant.name)
            fit = [name for name in engines.for_format(variant.format) if name not in variant.unfit]
            checks += [_check(path, variant, name, goldens) for name in fit]
        return Verification(
            str(path), len(pack.references()), pack.unlisted(), tuple(checks), _steps_reason(pack, goldens)
        )


def _steps_reason(pack: Pack, goldens: list[tuple[dict[str, Array], dict[str, Array]]]) -> str:
    """Why the steps do not make the golden inputs; empty when they do, or when no raw samples are stored."""
    for golden, (inputs, _) in zip(pack.manifest.goldens, goldens, strict=True):
        if not golden.raw:
            continue
        raw = {name: decode_array(pack.read(ref)) for name, ref in golden.raw.items()}
        if not all(array.ndim for array in raw.values()):
            return "the raw golden samples have no rows; build the pack again"
        rows = [dict(zip(raw, row, strict=True)) for row in zip(*raw.values(), strict=False)]
        try:
            made = Preparation(pack.manifest.inputs, pack.steps())(rows)
        except EdgepackError as error:
            return str(error)
        for name, wanted in inputs.items():
            if not np.array_equal(made.get(name, ()), wanted):
                return f"input {name!r} comes out otherwise than when the pack was built; build it again"
    return ""


def _check(
    path: str | os.PathLike[str],
    variant: Variant,
    engine: str,
    goldens: list[tuple[dict[str, Array], dict[str, Array]]],
) -> Check:
    """Run the golden inputs through one variant in one engine."""
    if engine not in engines.available():
        return Check(variant.name, engine, passed=False, tried=False, reason=f"engine {engine!r} is not installed here")
    try:
        with load(path, variant=variant.name, engine=engine, strict=True, check=False) as session:
            answer = check(session.run, goldens, variant.golden_tolerance)
    except EdgepackError as error:
        return Check(variant.name, engine, passed=False, reason=str(error))
    return Check(
        variant.name, engine, not answer.reason, answer.reason, parity=answer.parity, tolerance=variant.golden_tolerance
    )
