"""The search itself: candidates are tried as long as there is time, and the best of them meet once more.

It halves as `choose` does: every file has a quick look beside float32 of its format, those that are not far behind a
longer one, and the Pareto front of these is timed together in several openings, with every float32 file in each round.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field

import msgspec

from edgepack.convert.options import Options
from edgepack.convert.precisions import find
from edgepack.convert.prove import Proof
from edgepack.convert.schemes import Scheme
from edgepack.convert.search.asked import Search
from edgepack.convert.search.candidates import Candidate, candidate_of, candidates, in_turn, without
from edgepack.convert.search.choice import loses
from edgepack.convert.search.findings import Untried
from edgepack.convert.search.front import Standing, front
from edgepack.convert.search.race import File, Rounds, race
from edgepack.convert.search.repairs import Account, Mending, Missed, Repair, allowed, worth_mending
from edgepack.convert.search.trial import Laboratory, carry_out
from edgepack.convert.search.tried import Tried
from edgepack.convert.writers import Writer
from edgepack.runtime.errors import EdgepackError

UNCALIBRATED = "it needs calibration data"
"""Why a candidate is not tried."""

_FINAL_SHARE = 0.15  # of the time, for the last rounds
_MENDING_SHARE = 0.6  # when it is spent, what loses too much is mended before more is tried
_FINAL_OPENINGS, _FINAL_ROUNDS = 3, 4
_FINAL_SECONDS = 0.15  # a file, a round

Progress = Callable[[int, str], None]


@dataclass(frozen=True, slots=True)
class Ground:
    """What is searched."""

    writers: Mapping[str, Callable[[], Writer]]
    """By format; each is made once."""
    base: Options
    """What the user fixed."""
    precisions: Collection[str]
    search: Search
    laboratory: Laboratory
    calibrated: bool
    """Whether there are samples to calibrate with."""
    repair: Repair | None = None
    progress: Progress | None = None


@dataclass(slots=True)
class _Format:
    """One format while it is searched."""

    writer: Writer
    float32: bytes
    operators: frozenset[str] = field(default_factory=frozenset)


class Hunt:
    """One search; `run` it once."""

    def __init__(self, ground: Ground) -> None:
        self._ground = ground
        self._laboratory = ground.laboratory
        self._formats: dict[str, _Format] = {}
        self._refused: list[Tried] = []
        self._done: list[Tried] = []
        self._unmended: list[Tried] = []
        self.proofs: dict[str, Proof] = {}
        """Of what was tried now, without their sessions."""
        self.mendings: dict[str, Mending] = {}
        """By the file that came of it."""
        self.untried: list[Untried] = []
        self.rounds: Rounds = {}
        """The last rounds, of the finalists."""
        self._start = self._laboratory.clock()

    @property
    def tried(self) -> tuple[Tried, ...]:
        """Every trial, those of an earlier run included, in their order; then a line for each that nothing mends."""
        return (*self._refused, *self._done, *self._unmended)

    def run(self) -> None:
        """Search until all was tried, or time is up; then time the best together."""
        waiting = in_turn([self._begin(target) for target in self._ground.writers])
        while waiting or self._mendable:
            if self._mendable and (not waiting or self._spent > _MENDING_SHARE) and not self._is_over():
                self._mend()
                continue
            if not waiting:
                break
            candidate = waiting.pop(0)
            if any(one.is_of(candidate) for one in self._done):  # mending, or what a trial suggested, came first
                continue
            reason = self._hindrance(candidate)
            if reason:
                self.untried.append(Untried(candidate.variant, reason))
                continue
            waiting = [*self._after(candidate, self._try(candidate)), *waiting]
        self._meet()

    def writer(self, target: str) -> Writer:
        """The writer of a format that was searched."""
        return self._formats[target].writer

    def data(self, tried: Tried) -> bytes:
        """The file of a trial, written again where it does not lie in the store."""
        found = self._laboratory.store.data(tried)
        if found is None:
            scheme = candidate_of(tried.format, tried.precision, tried.options).scheme
            found = self._formats[tried.format].writer(scheme)
        return found

    def _begin(self, target: str) -> tuple[Candidate, ...]:
        """Write float32 of a format, and list its candidates; none where that fails.

        Raises:
            InputError: There is no layer of a name among those that the user keeps in float: no candidate would do.
        """
        plain = Candidate(target, Scheme(find("float32")))
        self._tell(plain.variant)
        try:
            writer = self._ground.writers[target]()
            float32 = writer(plain.scheme)
            operators = frozenset(kind for part in writer.parts for kind in part.operators)
        except EdgepackError as error:
            self._refused.append(
                Tried(variant=plain.variant, format=target, precision="float32", reasons=(str(error),))
            )
            self.untried.append(Untried(f"{target}-…", "there is no float32 file to begin with"))
            return ()
        writer.nodes(self._ground.base.float_layers)
        self._formats[target] = _Format(writer, float32, operators)
        self._try(plain)
        return candidates(target, self._ground.base, self._ground.precisions, operators)[1:]

    def _hindrance(self, candidate: Candidate) -> str:
        """Why a candidate is not tried; empty where it is."""
        if self._known(candidate):
            return ""
        if candidate.scheme.precision.needs_calibration and not self._ground.calibrated:
            return UNCALIBRATED
        return "time was up" if self._is_over() else ""

    def _try(self, candidate: Candidate, mends: str = "") -> Tried:
        """The trial of a candidate; one that was made before is taken as it is."""
        known = self._known(candidate)
        if known is not None:
            known = msgspec.structs.replace(known, mends=mends)
            self._done.append(known)
            return known
        form = self._formats[candidate.target]
        variant = self._name(candidate)
        self._tell(variant)
        tried, proof = carry_out(candidate, variant, form.writer, form.float32, self._done, self._laboratory, mends)
        if proof is not None:
            self.proofs[variant] = proof
        self._laboratory.store.add(tried)
        self._done.append(tried)
        return tried

    def _known(self, candidate: Candidate) -> Tried | None:
        return next((one for one in self._laboratory.store.trials if one.is_of(candidate)), None)

    def _name(self, candidate: Candidate) -> str:
        """A name that no other trial has: options that are long are counted in it alone."""
        taken = {one.variant for one in (*self._laboratory.store.trials, *self._done)}
        names = (candidate.variant, *(f"{candidate.variant}-{number}" for number in range(2, len(taken) + 3)))
        return next(name for name in names if name not in taken)

    def _after(self, candidate: Candidate, tried: Tried) -> list[Candidate]:
        """What a trial suggests to try next: what XNNPACK left to the interpreter stays in float."""
        if tried.precision != "int8" or tried.parity is None or self._ground.base.io != "float32":
            return []
        plain = next((one for one in self._done if one.variant == f"{tried.format}-float32"), None)
        left = set(tried.undelegated) - set(plain.undelegated if plain else ())
        known = left & self._formats[tried.format].operators
        more = without(candidate, known) if known else None
        return [more] if more else []

    @property
    def _mendable(self) -> list[tuple[str, Tried]]:
        """By format, what is worth mending; empty where nothing mends."""
        if self._ground.repair is None:
            return []
        max_drop, aim = self._laboratory.question.max_drop, self._ground.search.aim
        lines = [*self._done, *self._unmended]
        found = {target: worth_mending(lines, target, max_drop, aim) for target in self._formats}
        return [(target, one) for target, one in found.items() if one is not None]

    def _mend(self) -> None:
        """Give precision back to the first that is worth it; one that cannot be mended is a line too."""
        target, missed = self._mendable[0]
        mending = self._mending(target, missed)
        if mending.options is None:
            because = f": {mending.reason}" if mending.reason else ""
            reason = f"no layers were found whose precision would bring back what it loses{because}"
        else:
            mended = candidate_of(target, missed.precision, mending.options)
            twin = next((one for one in self._done if one.is_of(mended)), None)
            tried = twin or self._try(mended, mends=missed.variant)
            self.mendings[tried.variant] = mending
            if twin is None:
                return
            reason = f"what brings back what it loses is {twin.variant}, which was tried already"
        line = Tried(
            variant=f"{missed.variant}-mended", format=target, precision=missed.precision, mends=missed.variant,
            reasons=(reason,),
        )  # fmt: skip
        self._unmended.append(line)

    def _mending(self, target: str, missed: Tried) -> Mending:
        """What mending comes to; what an earlier run of the search knows is not done again."""
        assert self._ground.repair is not None, "nothing is mendable without"
        store, question, aim = self._laboratory.store, self._laboratory.question, self._ground.search.aim
        for account in store.mendings:
            if account.tells_of(missed.variant, allowed(question), aim) or self._holds(target, missed, account):
                return account.mending
        tell = self._telling(f"mending {missed.variant}")
        begun = self.elapsed
        left = self._ground.search.budget_seconds * (1 - _FINAL_SHARE) - begun
        writer, scheme = self._formats[target].writer, candidate_of(target, missed.precision, missed.options).scheme
        mending = self._ground.repair(Missed(writer, scheme, missed, question, left, tell))
        if mending.options is not None or self.elapsed - begun < left:  # else a longer budget may find something
            account = Account(mends=missed.variant, max_drop=allowed(question), aim=aim, mending=mending)
            store.add_mending(account)
        return mending

    def _holds(self, target: str, missed: Tried, account: Account) -> bool:
        """Whether what it was mended to under another budget holds today's."""
        if account.mends != missed.variant or account.mending.options is None:
            return False
        known = self._known(candidate_of(target, missed.precision, account.mending.options))
        return known is not None and not (known.reasons or loses(known, self._laboratory.question.max_drop))

    def _meet(self) -> None:
        """The last rounds: the front of each format and every float32 file, side by side."""
        max_drop = self._laboratory.question.max_drop
        right = [one for one in self._done if one.of_float32 and not one.reasons and not loses(one, max_drop)]
        plain = [one for one in self._done if one.precision == "float32" and one.of_float32]
        if not plain or not right:
            return
        self._tell("the best together")
        bases = self._race({one.variant: one for one in plain}, openings=1)
        own = {one.format: min(bases[one.variant]) for one in plain}
        standings: dict[str, list[Standing]] = {one.format: [] for one in plain}
        for one in right:
            latency = (one.of_float32 or 0.0) * own[one.format]
            standings[one.format].append(Standing(one.variant, latency, one.size_bytes, one.quality))
        # What one format's engine beats is still the best there is for a device with the other's alone.
        names = {one.name for each in standings.values() for one in front(each)} | {one.variant for one in plain}
        self.rounds = self._race({one.variant: one for one in self._done if one.variant in names}, _FINAL_OPENINGS)

    def _race(self, contestants: Mapping[str, Tried], openings: int) -> Rounds:
        left = max(_FINAL_SHARE * self._ground.search.budget_seconds, 0.0)
        seconds = min(_FINAL_SECONDS, left / (len(contestants) * openings * _FINAL_ROUNDS))
        return race(
            {name: File(one.format, self.data(one)) for name, one in contestants.items()},
            self._laboratory.row, self._laboratory.timer, threads=self._laboratory.threads,
            openings=openings, rounds=_FINAL_ROUNDS, seconds=seconds,
        )  # fmt: skip

    @property
    def elapsed(self) -> float:
        """Seconds since it began."""
        return self._laboratory.clock() - self._start

    @property
    def _spent(self) -> float:
        return self.elapsed / self._ground.search.budget_seconds

    def _is_over(self) -> bool:
        """Whether another trial, which takes as long as those before it, would leave no time for the last rounds."""
        new = [one.seconds for one in self._done if one.variant in self.proofs]
        usual = sum(new) / len(new) if new else 0.0
        return self.elapsed + usual > (1 - _FINAL_SHARE) * self._ground.search.budget_seconds

    def _tell(self, what: str) -> None:
        if self._ground.progress:
            self._ground.progress(len(self._done), f"{what}{self._best_so_far()}")

    def _telling(self, what: str) -> Callable[[str], None]:
        self._tell(what)
        return lambda more: self._tell(f"{what}: {more}")

    def _best_so_far(self) -> str:
        max_drop = self._laboratory.question.max_drop
        right = [
            one for one in self._done
            if one.of_float32 and one.precision != "float32" and not one.reasons and not loses(one, max_drop)
        ]  # fmt: skip
        best = min(right, key=lambda one: one.of_float32 or 0.0, default=None)
        return f" (best so far: {best.variant}, {best.of_float32:.2f} of float32)" if best else ""
