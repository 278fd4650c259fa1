"""Which variant runs in which engine, where nothing was measured on this device: sound defaults, said openly."""

import msgspec

from edgepack.runtime import engines
from edgepack.runtime.errors import EngineError, MissingExtraError, PackError, UnknownNameError
from edgepack.runtime.manifest import Variant

# Without a measurement the closest file is the sound one: small and quantized files are not always faster.
_PREFERENCE = ("float32", "float16", "weight_int8", "int8", "dynamic_int8", "int16x8", "weight_int4")


class Candidate(msgspec.Struct, frozen=True):
    """One way to run a pack."""

    variant: Variant
    engine: str


def rank(variants: tuple[Variant, ...], variant: str, engine: str | None) -> tuple[Candidate, ...]:
    """Every way to run that fits what was asked and is installed here, best first.

    Args:
        variants: What the pack holds.
        variant: `"auto"`, the name of a variant, or a precision.
        engine: The name of an engine; None is any.

    Raises:
        UnknownNameError: No such variant or engine; the message lists those there are.
        PackError: There are no variants.
        EngineError: The asked engine, or none at all, does not read the asked variant.
        MissingExtraError: No engine for it is installed; the message says what to install.
    """
    if engine is not None and engine not in engines.known():
        raise UnknownNameError("engine", engine, engines.known())
    if not variants:
        raise PackError("the pack holds no variants; build it again")
    fitting = [one for one in variants if variant in {"auto", one.name, one.precision}]
    if not fitting:
        names = [one.name for one in variants]
        precisions = list(dict.fromkeys(one.precision for one in variants))
        raise UnknownNameError("variant", variant, ["auto", *names, *precisions])
    pairs = sorted(
        (
            Candidate(one, name)
            for one in fitting
            for name in engines.for_format(one.format)
            if engine in {None, name} and name not in one.unfit
        ),
        key=_rank,
    )
    if not pairs and (reasons := {one.name: one.unfit[engine] for one in fitting if engine in one.unfit}):
        told = "; ".join(f"{name}: {reason}" for name, reason in reasons.items())
        raise EngineError(f"engine {engine!r} is not taken for {told}; leave the engine out, or name another variant")
    if not pairs:
        formats = ", ".join(dict.fromkeys(one.format for one in fitting))
        if engine is None:
            raise EngineError(f"no engine of this edgepack reads {formats} files; upgrade it: pip install -U edgepack")
        raise EngineError(
            f"engine {engine!r} does not read {formats} files; leave the engine out, or name another variant"
        )
    installed = [pair for pair in pairs if pair.engine in engines.available()]
    if not installed:
        missing = list(dict.fromkeys(pair.engine for pair in pairs))
        raise MissingExtraError(
            f"an engine for {pairs[0].variant.format} files ({', '.join(missing)})", engines.extra(missing[0])
        )
    return tuple(installed)


def _rank(pair: Candidate) -> tuple[int, int, str]:
    precision = pair.variant.precision
    place = _PREFERENCE.index(precision) if precision in _PREFERENCE else len(_PREFERENCE)
    return place, engines.known().index(pair.engine), pair.variant.format
