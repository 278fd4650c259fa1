"""What a search of the toy is made on, with times that are known."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any

from edgepack.convert import process
from edgepack.convert.calibrate import Stream
from edgepack.convert.options import Options
from edgepack.convert.plan import make_plan
from edgepack.convert.prove import Question
from edgepack.convert.samples import read_samples
from edgepack.convert.schemes import Scheme
from edgepack.convert.search import Search
from edgepack.convert.search.hunt import Ground
from edgepack.convert.search.race import Rounds, Runs
from edgepack.convert.search.store import Store
from edgepack.convert.search.trial import Laboratory
from edgepack.convert.source import open_source
from edgepack.convert.writers import WRITERS, Tools, Writer
from edgepack.runtime.about import About
from edgepack.runtime.trials import Opened
from tests.convert.conftest import Toy


@dataclass
class Times:
    """A timer that knows what every file takes, in microseconds; it runs each once, as a real one does."""

    table: Mapping[str, float]
    met: list[set[str]] = field(default_factory=list)

    def __call__(self, runs: Runs, rounds: int, seconds: float) -> Rounds:
        self.met.append(set(runs))
        for run in runs.values():
            run()
        return {name: (self.table.get(name, 100.0),) * rounds for name in runs}


@dataclass
class Counting:
    """A writer that counts what it writes, and fails where it is told to."""

    writer: Writer
    failing: Mapping[str, Exception] = field(default_factory=dict)
    written: list[str] = field(default_factory=list)

    def __call__(self, scheme: Scheme) -> bytes:
        name = scheme.variant(self.writer.target, full=True)
        self.written.append(name)
        if name in self.failing:
            raise self.failing[name]
        return _cached(self.writer, scheme)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.writer, name)


@cache
def _cached(writer: Writer, scheme: Scheme) -> bytes:
    return writer(scheme)


@dataclass(frozen=True)
class Field:
    """The toy's writers and questions, made once."""

    writers: Mapping[str, Writer]
    question: Question

    def ground(self, folder: Path, times: Times, **others: Any) -> Ground:
        """A search of it that is kept in a folder."""
        settings: dict[str, Any] = {
            "search": Search(), "precisions": ("float32", "int8"), "targets": ("tflite", "onnx"), "key": {},
            "failing": {}, "max_drop": 0.01, "died": (), "clock": count(0, 1e-3).__next__, "calibrated": True,
            "repair": None, "progress": None, "notes": [], "writers": None, "question": self.question,
        } | others  # fmt: skip

        def probe(_: Path, way: Any) -> Opened:
            return Opened("it takes its process down", died=True) if way.variant in settings["died"] else Opened()

        def made(target: str) -> Callable[[], Any]:
            writer = Counting(self.writers[target], settings["failing"])
            if settings["writers"] is not None:
                settings["writers"][target] = writer
            return lambda: writer

        question = replace(settings["question"], max_drop=settings["max_drop"])
        store = Store(folder, settings["key"], settings["notes"])
        return Ground(
            writers={target: made(target) for target in settings["targets"]},
            base=Options(),
            precisions=settings["precisions"],
            search=settings["search"],
            laboratory=Laboratory(question, store, 1, times, probe, settings["clock"]),
            calibrated=settings["calibrated"],
            repair=settings["repair"],
            progress=settings["progress"],
        )


def make_field(toy: Toy, folder: Path) -> Field:
    """The toy, traced for both formats."""
    with process.converter() as converter:
        source = open_source(toy.path, unsafe_lambda=False)
        plan = make_plan(folder / "toy.edgepack", ("tflite", "onnx"), None, "auto", searched=True, force=False)
        stream = Stream.of(read_samples(toy.calibration, source, "calibration"))
        judged = read_samples({name: array[:40] for name, array in toy.evaluation.items()}, source, "evaluation")
        tools = Tools(converter, About(), [])
        writers = {target: WRITERS[target](plan, source, stream, tools) for target in plan.targets}
        question = Question(judged, source.predict(judged.inputs), (0, 1), 0.01)
    return Field(writers, question)
