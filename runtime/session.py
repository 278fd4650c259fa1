"""The user's object: raw samples or tensors in, results out, on one engine."""

import functools
import os
import sys
import weakref
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from edgepack.runtime import batches
from edgepack.runtime.engines.base import Engine, EngineName, closed
from edgepack.runtime.errors import (
    EngineError,
    InputError,
    NanInputWarning,
)
from edgepack.runtime.hotpath import FLOATS, holds_nan, into_buffers, no_answer, one_tensor
from edgepack.runtime.manifest import Manifest, Steps
from edgepack.runtime.tensor import Array, TensorSpec, check_names, describe

if TYPE_CHECKING:  # what the first result does not need is imported when it is used
    import numpy.typing as npt

    from edgepack.runtime.about import About
    from edgepack.runtime.states import States
    from edgepack.runtime.steps.raw import RawValue
    from edgepack.runtime.steps.samples import Preparation
    from edgepack.runtime.streaming import Run, Stream
    from edgepack.runtime.wide import Wide

    Inputs = Mapping[str, npt.ArrayLike] | npt.ArrayLike

_OPEN: "weakref.WeakSet[Session]" = weakref.WeakSet()


def is_any_open() -> bool:
    """Whether a session is open in this process: threads of another one would then spin against its own."""
    return len(_OPEN) > 0


class Session:
    """A model that runs. Make one with `edgepack.load`; it may be used from several threads.

    Attributes:
        inputs: What goes in, in the model's order; None in a shape is a free axis.
        outputs: What comes out, in the model's order.
        variant: The name of the variant, or the file name of a bare file.
        engine: The engine's name; `engine.description` tells the library and its version.
        provider: Where it runs, read back from the engine: `cpu`, `gpu` or `npu`.
        device: What an accelerator runs on, in the words of its driver; software is named so. Empty for the CPU.
        placement: Operators on each of the engine's own providers; 0 where the engine does not count them.
        fallbacks: Why better candidates were passed over, one line each.
        chosen: Why this variant runs in this engine: asked for, measured on this device, or by default.
        manifest: The manifest of the pack; None for a bare file.
    """

    def __init__(
        self,
        engine: Engine,
        variant: str,
        *,
        manifest: Manifest | None = None,
        steps: Steps | None = None,
        fallbacks: tuple[str, ...] = (),
        device: str = "",
        states: Mapping[str, str] | None = None,
        chosen: str = "",
    ) -> None:
        _OPEN.add(self)
        self._engine = engine
        self.chosen = chosen
        self._batch = batches.file_batch(engine.inputs, engine.outputs)
        self.inputs, self.outputs = _interface(engine, manifest, free=self._batch is not None)
        self.variant, self.manifest, self.fallbacks, self.device = variant, manifest, fallbacks, device
        self.engine: EngineName = engine.name
        self.provider: str = engine.provider
        self.placement: Mapping[str, int] = engine.placement
        by_name = {spec.name: index for index, spec in enumerate(engine.outputs)}
        self._names = [spec.name for spec in self.outputs]
        self._order = [by_name[name] for name in self._names]
        self._engine_run: batches.Run = engine.run
        plain = len(self.inputs) == 1 and self._order == list(range(len(by_name)))
        if plain:  # what `run` asks first is bound, and there is a call less on the way
            quick = one_tensor(engine, self.inputs[0], self._names, self._batch, self._in_full)
            self.__dict__["run"] = functools.update_wrapper(quick, Session.run)
        self._call_into = into_buffers(engine, self.inputs[0], self.outputs, self._batch) if plain else no_answer
        self._states = self._paired(states if states is not None else _said_states(manifest))
        self._batched = bool(self.inputs) and all(spec.shape and spec.shape[0] is None for spec in self.inputs)
        if steps is None:  # those of the manifest, where none of their options is an asset of the pack
            steps = manifest.steps if manifest else Steps()
        self._steps = steps
        self._after: dict[str, Callable[[Array], Any]] = {}
        if steps.inputs or steps.outputs:
            from edgepack.runtime.steps import prepare

            self._after = {name: prepare(steps.outputs[name]) for name in steps.outputs}
            self._prepared  # noqa: B018 - what is wrong with the steps is said when a pack is loaded

    @cached_property
    def raw_values(self) -> "tuple[RawValue, ...]":
        """What a raw sample is made of: each value's name, its kind, and what it is in words."""
        from edgepack.runtime.steps.raw import raw_values

        return raw_values(self._open_inputs, self._steps)

    @property
    def text_input(self) -> str | None:
        """The name of the raw value where a raw sample is one text; None elsewhere."""
        return self.raw_values[0].name if [raw.kind for raw in self.raw_values] == ["text"] else None

    @property
    def picture_outputs(self) -> tuple[str, ...]:
        """Names of the outputs that `predict` gives as pictures: uint8 pixels `(height, width, channels)`."""
        return tuple(name for name, chain in self._steps.outputs.items() if chain and chain[-1].step == "picture")

    @cached_property
    def _plain(self) -> "tuple[str, np.dtype[Any], tuple[int | None, ...]] | None":
        """Name, dtype and sizes of a row where one input takes any number of them: what `check` looks at first."""
        spec = self.inputs[0] if len(self.inputs) == 1 and self._batched and not self._states else None
        plain = spec and len(spec.shape) > 1 and None not in spec.shape[1:] and spec.dtype != "string"
        return (spec.name, spec.numpy_dtype, spec.shape[1:]) if spec and plain else None

    @cached_property
    def _prepared(self) -> "Preparation":
        from edgepack.runtime.steps.samples import Preparation

        return Preparation(self._open_inputs, self._steps)

    @cached_property
    def _wide(self) -> "Wide":
        from edgepack.runtime.wide import Wide

        if self._engine_run is closed:
            closed()
        return Wide(self._engine, self._batch or 1, getattr(self._engine, "resized", None))

    @property
    def _open_inputs(self) -> Sequence[TensorSpec]:
        """The inputs that the caller gives: all that are no states."""
        states = self._states
        return [spec for spec in self.inputs if spec.name not in states.names] if states else self.inputs

    def _paired(self, states: Mapping[str, str]) -> "States | None":
        if not states:
            return None
        from edgepack.runtime.states import States

        return States(self.inputs, self.outputs, states)

    def run(self, inputs: "Inputs", out: "Inputs | None" = None) -> dict[str, Array]:
        """Run tensors through the model.

        Args:
            inputs: One array for each input, by name; a bare array where there is one input. Any number of rows is
                answered, whatever batch the file itself takes. Inputs that are the model's own state may be left out:
                they are zero then.
            out: Arrays that are written into, by output name; a bare array where there is one output. The same inputs
                and buffers again and again are the cheapest call there is: nothing is allocated.

        Returns:
            One array for each output, by name, in the model's order. The arrays are the caller's; those of `out`, where
            they were given.

        Raises:
            InputError: Names, shapes or element types that do not fit; the message shows both sides.
            EngineError: The engine failed while running.

        Warns:
            NanInputWarning: A float input holds NaN.
        """
        return self._in_full(inputs, out)

    def map(self, rows: "Iterable[Inputs]", *, batch: int = 16) -> Iterator[Array | dict[str, Array]]:
        """Run a stream of single rows, some at a time, in bounded memory.

        Args:
            rows: One row each, without a batch axis: an array, or a dict by name where there are several inputs.
            batch: How many are held, and run together; rows of another shape than the one before begin a new batch.

        Yields:
            For each row, in their order, its row of the output; a dict by name where there are several outputs.

        Raises:
            InputError: A row does not fit.
        """
        if batch < 1:
            raise InputError(f"batch is {batch}; it takes 1 or more rows")
        from edgepack.runtime import streaming

        return streaming.in_batches(self.run, self.inputs, rows, batch)

    async def run_async(self, inputs: "Inputs") -> dict[str, Array]:
        """Run tensors without holding up the event loop; arguments, result and errors as those of `run`.

        The threads are shared by all sessions of this process, as many as it has cores.
        """
        import asyncio

        from edgepack.runtime import streaming

        return await asyncio.get_running_loop().run_in_executor(streaming.threads(), self.run, inputs)

    def stream(self) -> "Stream":
        """Begin a stream: its runs build on each other, until it is closed. Use it as a context manager.

        The state lives in the stream alone: other streams and the session itself know nothing of it. It may lie inside
        the file, or be inputs and outputs of the model (`load(states=…)`, or what the pack says).

        Raises:
            InputError: The model keeps no state.
        """
        from edgepack.runtime.streaming import Stream

        if getattr(self._engine, "keeps_state", False):
            inside = self._engine.stream()  # type: ignore[attr-defined]
            own = Session(inside, self.variant, manifest=self.manifest)
            return Stream(own.run, inside.reset, own.close, self._named, self._predicted)
        if self._states:
            state = self._states.remembered(self.run)
            return Stream(state.run, state.reset, state.reset, self._named, self._predicted)
        raise InputError(
            "this model keeps no state from run to run; name its state inputs and outputs: "
            "load(path, states={'input': 'output'})"
        )

    @property
    def takes_rows(self) -> bool:
        """Whether every input has a leading axis that is free: any number of rows is answered."""
        return self._batched

    def run_plainly(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """Run rows that fit, in the file's own batch and by no quicker way: what everything else is held against."""
        check_names(self.inputs, inputs)
        feeds = {spec.name: spec.check(inputs[spec.name]) for spec in self.inputs}
        rows = len(next(iter(feeds.values()))) if self._batched else 0
        if self._batch:
            outputs: Sequence[Array] = batches.run_in_pieces(self._engine_run, feeds, rows, self._batch)
        else:
            outputs = self._engine_run(feeds)
        return {name: outputs[index] for name, index in zip(self._names, self._order, strict=True)}

    def check(self, inputs: "Mapping[str, npt.ArrayLike]") -> dict[str, Array]:
        """Return the tensors of one run as `run_checked` takes them; states that are left out are zero.

        Raises:
            InputError: Names, shapes, numbers of rows or element types that do not fit; the message shows both sides.
            EngineError: The session was closed.
        """
        if self._engine_run is closed:
            closed()
        if self._plain and len(inputs) == 1:
            name, dtype, tail = self._plain
            value = inputs.get(name)
            if (
                value.__class__ is np.ndarray
                and value.dtype is dtype
                and value.shape[1:] == tail
                and value.flags.c_contiguous
            ):
                return {name: value}
        given = self._states.filled(dict(inputs)) if self._states else inputs
        check_names(self.inputs, given)
        feeds = {spec.name: spec.check(given[spec.name]) for spec in self.inputs}
        if self._batched and len(feeds) > 1 and len(set(map(len, feeds.values()))) > 1:
            found = ", ".join(f"{name} {describe(array.shape)}" for name, array in feeds.items())
            raise InputError(f"the inputs differ in their number of rows ({found}); give each the same number")
        return feeds

    def run_checked(self, feeds: dict[str, Array]) -> dict[str, Array]:
        """Run what `check` gave, and look at nothing again: NaN is not warned of. Raises `EngineError` as `run` does.

        Raises:
            InputError: No rows came, and the model's output shape is only known by running.
        """
        outputs = self._run_rows(feeds) if self._batched else self._engine_run(feeds)
        return {name: outputs[index] for name, index in zip(self._names, self._order, strict=True)}

    @property
    def states(self) -> Mapping[str, str]:
        """The inputs that are the model's own state, each with the output that is its next value."""
        return self._states.pairs if self._states else {}

    def __call__(self, inputs: "Inputs") -> Array | dict[str, Array]:
        """Run like a Keras model: an array where there is one output, else a dict by name. Raises as `run` does."""
        results = self.run(inputs)
        return next(iter(results.values())) if len(results) == 1 else results

    def predict(self, sample: Any) -> Any:
        """Run one raw sample, or a list of them, through the pack's own steps.

        Args:
            sample: What the first step of the input takes: for an image a path, a PIL image or a uint8 array; for a
                text a str; for a sound the path of a .wav file or an array; for a series an array or the path of a
                .csv or .npy file; for a row a dict by column, an array, or a line of CSV. A dict by name where there
                are several inputs. A list or tuple is always a batch of samples: of one row as a list, `[[1, 2, 3]]`.
                A `Path` of a .csv file of rows, or of a .txt file with a text a line, is all that it holds; a model
                that is given its own state back takes its rows one after the other.

        Returns:
            For one sample, what the output's last step makes of it (for a classifier: `Score(label, score)`, best
            first; for numbers: `Value(name, number, unit)`; for a picture: uint8 pixels), or its array where the
            output has no steps; a dict by name where there are several outputs. For several, a list of these.

        Raises:
            InputError: The sample is not of the kind the steps take.
            StepError: A step cannot read it (an image file that is none).
            MissingFileError: A path that leads nowhere.
        """
        if isinstance(sample, os.PathLike) and self._steps.inputs:
            from edgepack.runtime import sample_files

            if sample_files.holds_many(self.raw_values):
                return list(self.predict_file([one for _, one in sample_files.read(self.raw_values, sample)]))
        return self._predicted(self.run, sample)

    def predict_file(self, samples: Sequence[Any]) -> Iterator[Any]:
        """Run the raw samples of one file, in bounded memory: their results, in order. Raises as `predict` does.

        Where the model is given its own state back, each sample follows the one before it, as in a stream.
        """
        from edgepack.runtime import sample_files

        if self._states:
            with self.stream() as stream:
                yield from map(stream.predict, samples)
        else:
            for piece in sample_files.pieces(samples):
                yield from self._predicted(self.run, list(piece))

    def _predicted(self, run: "Run", sample: Any) -> Any:
        """What `predict` gives, by a `run` of the session or of a stream."""
        many = isinstance(sample, (list, tuple))
        samples = list(sample) if many else [sample]
        if not samples:
            return []
        rows = self.readable(run(self.prepare(samples)), len(samples))
        return rows if many else rows[0]

    def prepare(self, samples: Sequence[Any]) -> dict[str, Array]:
        """Return raw samples as the tensors `run` takes, one row each. Raises as `predict` does."""
        if not self._batched:
            raise InputError(
                "predict takes one sample, but this model's inputs have no free batch axis: use session.run"
            )
        return self._prepared(samples)

    def readable(self, outputs: Mapping[str, Array], rows: int) -> list[Any]:
        """Return what a run of so many samples gave as `predict` does: a result for each.

        Raises:
            InputError: The outputs have not one row for each sample.
        """
        for name, array in outputs.items():
            if array.shape[:1] != (rows,):
                raise InputError(
                    f"output {name!r} has shape {describe(array.shape)}, not one row for each sample: use session.run"
                )
        return [self._readable({name: array[row] for name, array in outputs.items()}) for row in range(rows)]

    @property
    def about(self) -> "About":
        """What the file says of itself: name, labels, meanings. Anybody may have written it."""
        from edgepack.runtime.about import read_about

        if self._engine_run is closed:
            closed()
        return read_about(self._engine.metadata)

    def close(self) -> None:
        """Give the engine's memory back; the session cannot run any more. A second call does nothing."""
        self._call_into = no_answer
        self.__dict__.pop("run", None)
        _OPEN.discard(self)
        if self._engine_run is not closed:
            self._engine_run = closed
            if wide := self.__dict__.get("_wide"):  # it was needed once
                wide.close()
            self._engine.close()

    def __enter__(self) -> "Session":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<edgepack.Session {self.variant} on {self.engine} ({self.provider})>"

    def _in_full(self, inputs: "Inputs", out: "Inputs | None") -> dict[str, Array]:
        """What `run` does, with whatever it is given."""
        if out is None:
            return self._checked(inputs)
        return self._call_into(inputs, out) or self._written(inputs, out)

    def _checked(self, inputs: Any) -> dict[str, Array]:
        """Run after every check; raises and warns as `run` says."""
        feeds = self.check(self._named(inputs))
        for name, array in feeds.items():
            if array.dtype.name in FLOATS and holds_nan(array):
                _warn_of_nan(name, array)
        return self.run_checked(feeds)

    def _named(self, inputs: Any) -> "dict[str, npt.ArrayLike]":
        """The inputs by name: a mapping as it is, a bare array under the name of the one input that is no state."""
        if isinstance(inputs, Mapping):
            return dict(inputs)
        names = [spec.name for spec in self._open_inputs]
        if len(names) != 1:
            listed = ", ".join(map(repr, names))
            raise InputError(f"got one array; the model takes {len(names)} inputs ({listed}): pass a dict by name")
        return {names[0]: inputs}

    def _written(self, inputs: "Inputs", out: "Inputs") -> dict[str, Array]:
        """Run after every check, and copy into the caller's arrays."""
        buffers: dict[str, Any] = dict(out) if isinstance(out, Mapping) else dict.fromkeys(self._names[:1], out)
        if sorted(buffers) != sorted(self._names) or not all(isinstance(one, np.ndarray) for one in buffers.values()):
            given = ", ".join(f"{name} ({type(one).__name__})" for name, one in buffers.items())
            raise InputError(f"out holds {given or 'nothing'}; it takes an array for each of {', '.join(self._names)}")
        results = self.run(inputs)
        for name, array in results.items():
            _check_buffer(name, buffers[name], array)
        for name, array in results.items():
            np.copyto(buffers[name], array)
        return {name: buffers[name] for name in results}

    def _run_rows(self, feeds: dict[str, Array]) -> Sequence[Array]:
        """Answer any number of rows, whatever number of them the file takes at once."""
        rows = len(feeds[self.inputs[0].name])
        if rows == 0:
            nothing = batches.empty(self._engine.outputs)
            if nothing is None:
                raise InputError("got no rows; the model's output shape is only known by running: give 1 or more")
            return nothing
        if self._batch is None or rows == self._batch:
            return self._engine_run(feeds)
        return self._wide.run(feeds, rows)

    def _readable(self, row: dict[str, Array]) -> Any:
        """One row of outputs as a person reads it, without the states."""
        hidden = self._states.next_names if self._states else ()
        results = {
            name: self._after[name](array) if name in self._after else array
            for name, array in row.items()
            if name not in hidden
        }
        return next(iter(results.values())) if len(results) == 1 else results


def _said_states(manifest: Manifest | None) -> Mapping[str, str]:
    return manifest.states if manifest else {}


def _check_buffer(name: str, buffer: Any, result: Array) -> None:
    if buffer.shape != result.shape or buffer.dtype != result.dtype or not buffer.flags.writeable:
        raise InputError(
            f"out[{name!r}] is {describe(buffer.shape, str(buffer.dtype))}"
            f"{'' if buffer.flags.writeable else ', read-only'}; this run gives "
            f"{describe(result.shape, str(result.dtype))}: give such an array that can be written"
        )


def _interface(
    engine: Engine, manifest: Manifest | None, *, free: bool
) -> tuple[tuple[TensorSpec, ...], tuple[TensorSpec, ...]]:
    """What the session takes and gives: the model's own names and order, or the file's where there is no manifest."""
    if manifest is None:
        return (
            batches.with_free_batch(engine.inputs) if free else engine.inputs,
            batches.with_free_batch(engine.outputs) if free else engine.outputs,
        )
    for kind, wanted, found in (
        ("input", manifest.inputs, engine.inputs),
        ("output", manifest.outputs, engine.outputs),
    ):
        own = {spec.name: spec for spec in found}
        if set(own) != {spec.name for spec in wanted} or not all(_agree(spec, own[spec.name]) for spec in wanted):
            raise EngineError(
                f"the file has {kind}s {'; '.join(map(str, found))}, "
                f"the manifest {'; '.join(map(str, wanted))}; build the pack again"
            )
    return manifest.inputs, manifest.outputs


def _agree(said: TensorSpec, found: TensorSpec) -> bool:
    """Whether a file's tensor can be what the manifest says: the file may fix the batch, and leave sizes open."""
    sizes = list(zip(said.shape, found.shape, strict=False))[1:]
    same = all(wanted is None or size is None or wanted == size for wanted, size in sizes)
    return said.dtype == found.dtype and len(said.shape) == len(found.shape) and same


def _warn_of_nan(name: str, array: Array) -> None:
    import warnings

    count = int(np.isnan(array).sum())
    message = f"input {name!r} holds NaN in {count:,} of {array.size:,} elements; the results cannot be trusted"
    level, frame = 1, sys._getframe()
    while frame.f_back and frame.f_globals["__name__"].startswith("edgepack."):
        level, frame = level + 1, frame.f_back
    warnings.warn(message, NanInputWarning, stacklevel=level)  # at the line of the user's own code
