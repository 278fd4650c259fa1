"""ONNX Runtime."""

import contextlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from edgepack.runtime.engines.base import EngineName, Opening, closed
from edgepack.runtime.engines.onnx_file import batch_names, keeps_tensors_elsewhere
from edgepack.runtime.engines.onnx_place import CPU, Place
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array, TensorSpec

if TYPE_CHECKING:
    from pathlib import Path

    from edgepack.runtime.engines.prepared import Prepared

_LARGE_BYTES = 2**21  # smaller files are opened sooner than what was kept of them is checked

# ONNX Runtime's name of an element type -> ours
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
    "tensor(float16)": "float16",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}


class OnnxEngine:
    """An ONNX file in ONNX Runtime."""

    def __init__(self, data: bytes, opening: Opening) -> None:
        """Open the file; raises `EngineError` with the engine's own words where it refuses it."""
        import onnxruntime

        if keeps_tensors_elsewhere(data):
            raise EngineError(
                "the file keeps weights in another file, which edgepack does not read; save it as one file: "
                "onnx.save(onnx.load(path), path)"
            )
        library = f"ONNX Runtime {onnxruntime.__version__}"
        if opening.provider == CPU:
            if opening.options:  # ONNX Runtime passes over them without a word
                raise EngineError(
                    f"{CPU} takes no options, got {', '.join(map(repr, opening.options))}; leave them out"
                )
            self._place = Place("cpu", frozenset({CPU}), ((CPU, {}),))
            self._session, known = _open_here(onnxruntime, data, opening, self._place)
        else:
            self._place, self._session, known = _open_elsewhere(onnxruntime, data, opening)
        try:
            self.inputs = tuple(map(_spec, self._session.get_inputs()))
            self.outputs = tuple(map(_spec, self._session.get_outputs()))
            self._operators = known or _operators(self._session)
        except EngineError as error:
            raise EngineError(f"{library} refuses the file: {error}") from error
        except UnicodeDecodeError as error:
            raise EngineError(f"{library} refuses the file: a name in it is no text ({error})") from error
        self.name = EngineName("onnx", f"{library} with {self._place.version}" if self._place.version else library)
        self._providers: Sequence[str] = self._session.get_providers()
        if opening.provider != CPU:
            if self._operators is None:
                self._operators = _profiled(onnxruntime, data, opening, self._place, self.inputs)
            self._check_taken(opening.provider)
        self._names = [spec.name for spec in self.outputs]
        # The session's own `run` adds checks that were done by then, and prints to stdout when it steps down.
        self._run = _in_turn(getattr(getattr(self._session, "_sess", None), "run", self._session.run), self._place)
        self._options = onnxruntime.RunOptions()  # without one, ONNX Runtime makes one for each run: 0.9 µs
        self._run_into: Callable[[Mapping[str, Array], Sequence[Array]], None] | None = None

    @property
    def provider(self) -> str:
        """Where it runs, by the provider that was given most operators."""
        most = max(self.placement.items(), key=lambda item: item[1], default=(CPU, 0))[0]
        return self._place.kind if most in self._place.names else "cpu"

    @property
    def placement(self) -> Mapping[str, int]:
        """Operators per execution provider, as ONNX Runtime assigned them; none are counted on its CPU before 1.22."""
        if self._operators is None:
            return dict.fromkeys(self._providers[:1], 0)
        return {name: len(types) for name, types in self._operators.items()}

    @property
    def elsewhere(self) -> tuple[str, ...]:
        """Types of the operators that the provider left to others."""
        left = {
            kind for name, kinds in (self._operators or {}).items() if name not in self._place.names for kind in kinds
        }
        return tuple(sorted(left))

    @property
    def metadata(self) -> Mapping[str, str]:
        """The file's own `metadata_props`."""
        found: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays belong to the caller."""
        try:
            outputs: Sequence[Array] = self._run(self._names, feeds, self._options)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on these inputs: {one_line(error)}") from error
        return outputs

    def run_into(self, feeds: Mapping[str, Array], outputs: Sequence[Array]) -> None:
        """Run once into arrays of the caller, which are in the order of the file's outputs.

        On the CPU nothing is allocated, and the thread holds the arrays that came last until others come or the engine
        is closed; elsewhere the results are copied.

        Raises:
            InputError: An array is not C-contiguous, writable, or of its output's type and shape.
            EngineError: The engine failed while running, or comes to other shapes.
        """
        if self._run_into is None:
            self._run_into = self._binder()
        self._run_into(feeds, outputs)

    def _binder(self) -> Callable[[Mapping[str, Array], Sequence[Array]], None]:
        """What runs into arrays, made when it is first asked for: few sessions are."""
        from edgepack.runtime.engines.onnx_binding import Binder

        run, names, options = self._run, self._names, self._options
        return Binder(
            getattr(self._session, "_sess", None), options, (self.inputs, self.outputs),
            lambda feeds: run(names, feeds, options), bind=self._place.names == {CPU},
        ).run_into  # fmt: skip

    def close(self) -> None:
        """Give the memory back; a run that is under way ends first."""
        with self._place.turn or contextlib.nullcontext():
            self._run = self._run_into = closed
            self._session = None

    def _check_taken(self, provider: str) -> None:
        """Refuse a provider that is on the list and runs nothing."""
        if self._operators is None:  # an older release, and a file that zeros do not run: the list is all it tells
            if self._place.names.isdisjoint(self._session.get_providers()):
                raise EngineError(f"ONNX Runtime leaves {provider} out; install the driver and libraries it needs")
            return
        if self._place.names.isdisjoint(self._operators):
            total = sum(map(len, self._operators.values()))
            raise EngineError(
                f"{provider} took none of the {total} operators ({', '.join(self.elsewhere)}); it would run on the CPU"
            )


def _in_turn(run: Callable[..., Any], where: Place) -> Callable[..., Any]:
    """A run that waits for others on the same provider, where it has to."""
    turn = where.turn
    if turn is None:
        return run

    def wait_and_run(*given: object) -> Any:
        with turn:
            return run(*given)

    return wait_and_run


def _open_here(
    onnxruntime: Any, data: bytes, opening: Opening, where: Place
) -> tuple[Any, dict[str, list[str]] | None]:
    """A session on the CPU; of a large file from the graph that was optimized at an earlier start, where it is kept.

    That graph has other operators, so that those of the file itself come along; None where the session tells them.
    """
    if len(data) < _LARGE_BYTES:
        return _open(onnxruntime, data, opening, where), None
    from edgepack.runtime.engines.prepared import Prepared

    prepared = Prepared(f"ONNX Runtime {onnxruntime.__version__}", data, opening, ending=".onnx")
    return _open_prepared(
        prepared,
        lambda path: _open(onnxruntime, path, opening, where),
        lambda path: _open(onnxruntime, data, opening, where, optimized=path),
    )


def _open_prepared(
    prepared: "Prepared", again: Callable[[str], Any], make: Callable[[str], Any]
) -> tuple[Any, dict[str, list[str]] | None]:
    """A session of what was kept at an earlier start, with the operators of the file itself; else of that file.

    Args:
        prepared: Where it is kept.
        again: Opens what was kept at a path.
        make: Opens the file itself, and writes to a path what is to be kept; to none where that is empty.
    """
    if (known := prepared.facts(dict[str, list[str]])) and (path := prepared.get()):
        with contextlib.suppress(EngineError):
            return again(str(path)), known
    made: list[Any] = []

    def write(path: "Path") -> None:
        # A full disk is told as if the file were wrong; and a provider that keeps nothing may refuse to be asked.
        with contextlib.suppress(EngineError):
            made.append(make(str(path)))

    prepared.keep(write)
    session = made[0] if made else make("")
    prepared.note(_operators(session) or {})
    return session, None


def _open_elsewhere(onnxruntime: Any, data: bytes, opening: Opening) -> tuple[Place, Any, dict[str, list[str]] | None]:
    """A session on another provider than the CPU's own; its batch is fixed at 1 where the whole file follows that.

    What a provider compiled at an earlier start (ONNX Runtime's EPContext) is taken where it is kept; the operators of
    the file itself come along then.
    """
    from edgepack.runtime.chatter import stdout_to_stderr
    from edgepack.runtime.engines.onnx_providers import place

    names, denotations = batch_names(data)
    with stdout_to_stderr():
        where = place(opening)
        with where.turn or contextlib.nullcontext():
            if not where.devices:  # built in: none of these keeps what it compiles through ONNX Runtime
                return where, _open_fixed(onnxruntime, data, opening, where, names, denotations), None
            from edgepack.runtime.engines.prepared import Prepared

            prepared = Prepared(f"{onnxruntime.__version__} {where.version}", data, opening, ending=".ctx.onnx")
            return where, *_open_prepared(
                prepared,
                lambda path: _open(onnxruntime, path, opening, where),
                lambda path: _open_fixed(onnxruntime, data, opening, where, names, denotations, context=path),
            )


def _open_fixed(
    onnxruntime: Any, data: bytes, opening: Opening, where: Place, names: Iterable[str], denotations: Iterable[str],
    *, context: str = "",
) -> Any:  # fmt: skip
    """A session whose batch is 1 where the whole file follows that."""
    session = _open(onnxruntime, data, opening, where, names, denotations, context=context)
    values = (*session.get_inputs(), *session.get_outputs())
    fixed = all(value.shape and value.shape[0] == 1 for value in values)
    if (names or denotations) and not fixed:  # rows could not be taken one by one
        if context:
            os.unlink(context)
        session = _open(onnxruntime, data, opening, where, context=context)
    return session


def _open(
    onnxruntime: Any, data: bytes | str, opening: Opening, where: Place, names: Iterable[str] = (),
    denotations: Iterable[str] = (), *, optimized: str = "", context: str = "",
) -> Any:  # fmt: skip
    """A session, with 1 as the size of the axes that are named.

    A path is that of a graph that was optimized or compiled before; `optimized` or `context` is where this one goes.
    """
    try:
        options = _options(onnxruntime, opening, where)
        if isinstance(data, str):
            options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
        if optimized:
            options.optimized_model_filepath = optimized
        if context:
            for name, value in {"enable": "1", "file_path": context, "embed_mode": "1"}.items():
                options.add_session_config_entry(f"ep.context_{name}", value)
        for name in names:
            options.add_free_dimension_override_by_name(name, 1)
        for denotation in denotations:
            options.add_free_dimension_override_by_denotation(denotation, 1)
        listed = list(where.listed) or None
        return onnxruntime.InferenceSession(data, options, providers=listed, enable_fallback=0)
    except Exception as error:
        from edgepack.runtime.engines.onnx_words import in_words

        place = "" if opening.provider == CPU else f" on {opening.provider}"
        raise EngineError(
            f"ONNX Runtime {onnxruntime.__version__} refuses the file{place}: {in_words(error)}"
        ) from error


def _options(onnxruntime: Any, opening: Opening, where: Place) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = opening.threads
    options.inter_op_num_threads = 1
    options.log_severity_level = 4  # errors are raised: what it would print beside is no news
    entries = {
        "session.load_model_format": "ONNX",
        # Since 1.22: which provider took which node. Older releases ignore an entry they do not know.
        "session.record_ep_graph_assignment_info": "1",
    }
    if not opening.spinning:
        entries["session.intra_op.allow_spinning"] = "0"
    if opening.strict and opening.provider != CPU:
        entries["session.disable_cpu_ep_fallback"] = "1"
    for name, value in entries.items():
        options.add_session_config_entry(name, value)
    if where.devices:
        options.add_provider_for_devices(list(where.devices), dict(where.options))
    return options


def _operators(session: Any) -> dict[str, list[str]] | None:
    """The types of the operators that each provider took; None where the release does not tell."""
    read = getattr(session, "get_provider_graph_assignment_info", None)
    if read is None:
        return None
    found: dict[str, list[str]] = {}
    for part in read():
        found.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return found


def _profiled(
    onnxruntime: Any, data: bytes, opening: Opening, where: Place, inputs: Sequence[TensorSpec]
) -> dict[str, list[str]] | None:
    """As `_operators`, from a session of its own that is profiled."""
    from edgepack.runtime.chatter import stdout_to_stderr
    from edgepack.runtime.engines.onnx_profile import ran_where

    def open_profiled(prefix: str) -> Any:
        options = _options(onnxruntime, opening, where)
        options.enable_profiling, options.profile_file_prefix = True, prefix
        return onnxruntime.InferenceSession(data, options, providers=list(where.listed) or None, enable_fallback=0)

    with stdout_to_stderr():
        return ran_where(open_profiled, inputs)


def _spec(value: Any) -> TensorSpec:
    if value.type not in _DTYPES:
        raise EngineError(f"tensor {value.name!r} has type {value.type}, which edgepack does not feed")
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in value.shape or ())
    return TensorSpec(value.name, shape, _DTYPES[value.type])
