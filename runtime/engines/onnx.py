"""ONNX Runtime."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from edgepack.runtime.engines.base import EngineName, Opening, closed
from edgepack.runtime.engines.onnx_file import keeps_tensors_elsewhere
from edgepack.runtime.errors import EngineError, one_line
from edgepack.runtime.tensor import Array, TensorSpec

# ONNX Runtime's name of an element type -> ours
_DTYPES = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(bool)": "bool",
    "tensor(string)": "string",
    "tensor(float16)": "float16",
    **{f"tensor({sign}int{bits})": f"{sign}int{bits}" for sign in ("", "u") for bits in (8, 16, 32, 64)},
}

# ONNX Runtime's own provider name -> ours
_PROVIDERS = {"CPUExecutionProvider": "cpu", "XnnpackExecutionProvider": "cpu"}


class OnnxEngine:
    """An ONNX file in ONNX Runtime."""

    def __init__(self, data: bytes, opening: Opening) -> None:
        """Open the file; raises `EngineError` with the engine's own words where it refuses it."""
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = opening.threads
        options.inter_op_num_threads = 1
        options.log_severity_level = 4  # errors are raised: what it would print beside is no news
        options.add_session_config_entry("session.load_model_format", "ONNX")
        # Since 1.22: which provider took which node. Older releases ignore an entry they do not know.
        options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
        if keeps_tensors_elsewhere(data):
            raise EngineError(
                "the file keeps weights in another file, which edgepack does not read; save it as one file: "
                "onnx.save(onnx.load(path), path)"
            )
        try:
            self._session = onnxruntime.InferenceSession(data, options, providers=[opening.provider], enable_fallback=0)
            self.inputs = tuple(map(_spec, self._session.get_inputs()))
            self.outputs = tuple(map(_spec, self._session.get_outputs()))
        except Exception as error:
            raise EngineError(f"ONNX Runtime {onnxruntime.__version__} refuses the file: {one_line(error)}") from error
        self.name = EngineName("onnx", f"ONNX Runtime {onnxruntime.__version__}")
        self._names = [spec.name for spec in self.outputs]
        # The session's own `run` adds checks that were done by then, and prints to stdout when it steps down.
        self._run = getattr(getattr(self._session, "_sess", None), "run", self._session.run)

    @property
    def provider(self) -> str:
        """Where it runs, by the provider that was given most operators."""
        most = max(self.placement.items(), key=lambda item: item[1], default=("CPUExecutionProvider", 0))[0]
        return _PROVIDERS.get(most, most)

    @property
    def placement(self) -> Mapping[str, int]:
        """Operators per execution provider, as ONNX Runtime assigned them; without counts before release 1.22."""
        read = getattr(self._session, "get_provider_graph_assignment_info", None)
        if read is None:
            return dict.fromkeys(self._session.get_providers()[:1], 0)
        counts: Counter[str] = Counter()
        for part in read():
            counts[part.ep_name] += len(part.get_nodes())
        return dict(counts)

    @property
    def metadata(self) -> Mapping[str, str]:
        """The file's own `metadata_props`."""
        found: Mapping[str, str] = self._session.get_modelmeta().custom_metadata_map
        return found

    def run(self, feeds: Mapping[str, Array]) -> Sequence[Array]:
        """Run once; the arrays belong to the caller."""
        try:
            outputs: Sequence[Array] = self._run(self._names, feeds, None)
        except Exception as error:
            raise EngineError(f"ONNX Runtime failed on these inputs: {one_line(error)}") from error
        return outputs

    def close(self) -> None:
        """Give the memory back; a run that is under way ends first."""
        self._run, self._session = closed, None


def _spec(value: Any) -> TensorSpec:
    if value.type not in _DTYPES:
        raise EngineError(f"tensor {value.name!r} has type {value.type}, which edgepack does not feed")
    shape = tuple(size if isinstance(size, int) and size >= 0 else None for size in value.shape or ())
    return TensorSpec(value.name, shape, _DTYPES[value.type])
