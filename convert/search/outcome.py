"""From what was tried to what is chosen, what goes into the pack, and under which names."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import msgspec

from edgepack.convert.options import Options
from edgepack.convert.packing import Built, result_of
from edgepack.convert.precisions import find
from edgepack.convert.prove import prove
from edgepack.convert.report import Result
from edgepack.convert.search.choice import judged, nobody, pick, sentence
from edgepack.convert.search.findings import Findings, Line
from edgepack.convert.search.front import Standing, front
from edgepack.convert.search.hunt import UNCALIBRATED, Ground, Hunt
from edgepack.convert.search.race import Rounds, ratio
from edgepack.convert.search.repairs import Mending
from edgepack.convert.search.store import Store
from edgepack.convert.search.tried import Tried
from edgepack.runtime.choose import NOISY, noise
from edgepack.runtime.device import this_device
from edgepack.runtime.errors import ConvertError


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a search came to, and the files of it that are kept, the choice first."""

    findings: Findings
    built: tuple[Built, ...]
    store: Store
    """Where the trials are kept."""
    notes: tuple[str, ...] = ()
    """What was given back to files that are kept, a line each."""

    @property
    def results(self) -> tuple[Result, ...]:
        """What the report says of the files that are kept, with the latencies of the search."""
        latencies = {one.packed: one.latency_us for one in self.findings.lines if one.packed}
        return tuple(result_of(one, latencies[one.variant]) for one in self.built)


def search(ground: Ground, *, bare: bool) -> Outcome:
    """Search, choose, and make ready what is written.

    Args:
        ground: What is searched.
        bare: Whether the one chosen file is written alone.

    Raises:
        ConvertError: No file meets the budgets; the message has the best that was found.
        KeyboardInterrupt: The user stopped it; what was tried is kept in the store.
    """
    hunt = Hunt(ground)
    hunt.run()
    asked, max_drop = ground.search, ground.laboratory.question.max_drop
    lines = _lines(hunt, ground)
    best = pick(lines, asked)
    if best is None:
        raise ConvertError(nobody(lines, asked, max_drop, len(hunt.untried)))
    by_format = {target: one for target in ground.writers if (one := _pick_of(lines, target, ground))}
    kept = [best] if bare else _kept(lines, best, by_format.values(), everything=asked.keep == "all")
    packed = dict(zip((one.tried.variant for one in kept), names(kept), strict=True))
    lines = [msgspec.structs.replace(one, packed=packed.get(one.tried.variant, "")) for one in lines]
    fastest = next(one for one in lines if one.tried.variant == _fastest(hunt.rounds, hunt.tried))
    apart = noise(hunt.rounds[best.tried.variant])
    findings = Findings(
        asked=asked, max_drop=max_drop, basis=best.tried.basis, lines=tuple(lines), untried=tuple(hunt.untried),
        chosen=best.tried.variant, chosen_by_format={name: one.tried.variant for name, one in by_format.items()},
        because=sentence(best, fastest, lines, asked), seconds=hunt.elapsed, noise=apart,
        warnings=tuple(_warnings(apart, best, hunt)),
        machine={"cpu": (device := this_device()).cpu, "fingerprint": device.fingerprint},
    )  # fmt: skip
    built = tuple(_built(one, packed[one.tried.variant], hunt, ground) for one in kept)
    mended = [(packed[name], one) for name, one in hunt.mendings.items() if name in packed]
    notes = tuple(f"{name}: {note}" for name, one in mended for note in one.notes)
    return Outcome(findings, built, ground.laboratory.store, notes)


def names(kept: Sequence[Line]) -> list[str]:
    """What files are called in a pack: the first of a format and a precision plainly, others by their options too."""
    found: list[str] = []
    for one in kept:
        plain = f"{one.tried.format}-{one.tried.precision}"
        own = one.tried.variant if one.tried.variant != plain else f"{plain}-default"
        found.append(own if plain in found else plain)
    return found


def _lines(hunt: Hunt, ground: Ground) -> list[Line]:
    """Every trial under the budgets, with latencies that can be held against each other, and the front marked."""
    rounds = hunt.rounds
    fastest = _fastest(rounds, hunt.tried)
    plain = {one.format: one.variant for one in hunt.tried if one.precision == "float32" and one.variant in rounds}
    lines = [
        judged(_line(one, rounds, plain.get(one.format), fastest), ground.laboratory.question.max_drop, ground.search)
        for one in hunt.tried
    ]
    standings = [
        Standing(one.tried.variant, one.latency_us or 0.0, one.tried.size_bytes, one.tried.quality)
        for one in lines
        if one.is_right and one.finalist
    ]
    members = {one.name for one in front(standings)}
    return [msgspec.structs.replace(one, on_front=one.tried.variant in members) for one in lines]


def _line(tried: Tried, rounds: Rounds, own: str | None, fastest: str | None) -> Line:
    """One trial with its latency: measured beside the others, or worked out from its ratio to float32."""
    if own is None or fastest is None or tried.of_float32 is None:
        return Line(tried=tried)
    if tried.variant in rounds:
        of_own, of_fastest = ratio(rounds, tried.variant, own), ratio(rounds, tried.variant, fastest)
    else:
        of_own = tried.of_float32
        of_fastest = of_own * ratio(rounds, own, fastest)
    return Line(
        tried=tried, latency_us=of_fastest * statistics.median(rounds[fastest]), of_fastest=of_fastest, of_own=of_own,
        finalist=tried.variant in rounds,
    )  # fmt: skip


def _fastest(rounds: Rounds, trials: Iterable[Tried]) -> str | None:
    """The float32 file that is fastest; a right one where there is any."""
    plain = [one for one in trials if one.precision == "float32" and one.variant in rounds]
    chosen = [one for one in plain if not one.reasons] or plain
    return min((one.variant for one in chosen), key=lambda name: statistics.median(rounds[name]), default=None)


def _pick_of(lines: Sequence[Line], target: str, ground: Ground) -> Line | None:
    return pick([one for one in lines if one.tried.format == target], ground.search, format_alone=True)


def _kept(lines: Sequence[Line], best: Line, by_format: Iterable[Line], *, everything: bool) -> list[Line]:
    """What goes into the pack: the choice, those of each format, the front, float32, and with `everything` the rest."""
    right = sorted((one for one in lines if one.is_right), key=lambda one: one.latency_us or 0.0)
    front_first = [one for one in right if one.on_front]
    plain = [one for one in right if one.tried.precision == "float32"]
    wanted = [best, *by_format, *front_first, *plain, *(right if everything else ())]
    return list({one.tried.variant: one for one in wanted}.values())


def _built(line: Line, name: str, hunt: Hunt, ground: Ground) -> Built:
    """One file for the pack; one of an earlier run is proved again, as only its figures were kept."""
    tried = line.tried
    data = hunt.data(tried)
    precision = find(tried.precision)
    proof = hunt.proofs.get(tried.variant)
    if proof is None:
        found = prove(tried.format, data, precision, replace(ground.laboratory.question, max_drop=None))
        if found.session is not None:
            found.session.close()
        proof = replace(found, session=None)
    if proof.reasons:
        raise ConvertError(f"{tried.variant} is not right any more, nothing was written: {'; '.join(proof.reasons)}")
    account = hunt.mendings.get(tried.variant, Mending())
    return Built(
        name, tried.format, tried.precision, msgspec.convert(tried.options, Options), data, proof, account.trials,
        account.sensitivities,
    )  # fmt: skip


def _warnings(apart: float, best: Line, hunt: Hunt) -> Iterable[str]:
    if apart >= NOISY:
        yield f"this machine is busy: rounds of the same file differ by {apart:.0%}; search again when it is not"
    if best.tried.metric is None:
        yield (
            "there were no labels: agreement with Keras, or a signal-to-noise ratio of at least 20 dB, stands in for a "
            "task metric; give --evaluation with labels to have what is lost measured"
        )
    blind = sum(one.reason == UNCALIBRATED for one in hunt.untried)
    if blind:
        yield (
            f"{blind} candidates were not tried, as they need calibration data: give --calibration with a few hundred "
            "real samples"
        )
    late = sum(one.reason == "time was up" for one in hunt.untried)
    if late:
        yield f"{late} candidates were not tried, as time was up: a longer --budget goes on with them"
