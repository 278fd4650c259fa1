"""A SavedModel folder as a source: one of its signatures, under the names that signature gives."""

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from edgepack.quiet import quiet
from edgepack.runtime.errors import ModelError, UnsafeModelError, one_line
from edgepack.runtime.tensor import TensorSpec

DEFAULT_SIGNATURE = "serving_default"

# What a graph may not do while it is loaded or called, by its operations.
_FORBIDDEN = {
    "calls Python": re.compile(r"(Eager)?PyFunc(Stateless)?"),
    "ends the process": re.compile(r"Abort"),
    "reads or writes files": re.compile(
        r"(Read|Write|Matching)Files?|InitializeTableFromTextFile(V2)?|(Distributed)?Save(V2|Slices)?|MergeV2Checkpoints|"
        r"Restore(Slice|V2)?|LoadAndRemapMatrix|GenerateVocabRemapping|(De|En)codeProto(V2)?|FileSystemSetConfiguration|"
        r"RecordInput|\w*Reader(V2)?|\w*Dataset(V\d)?|\w*Summary\w*|Print(V2)?|Debug\w+"
    ),
    "speaks with other processes": re.compile(r"Collective\w+|Send|Recv|_?Host(Send|Recv)|\w*Rpc\w*|\w*TPU\w*"),
}
# Operations on lists of tensors, as loops use them -> which input is the shape of an element.
_ELEMENT_SHAPES = {
    "EmptyTensorList": 0, "TensorListReserve": 0, "TensorListConcatV2": 1, "TensorListFromTensor": 1,
    "TensorListStack": 1, "TensorListGather": 2, "TensorListGetItem": 2, "TensorListScatterV2": 2,
}  # fmt: skip

# Functions of an object that run when it is loaded.
_LOADING = ("_create_resource", "_initialize", "_destroy_resource", "initializer")


@dataclass(frozen=True, slots=True)
class Signature:
    """One signature of a loaded SavedModel."""

    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    run: Callable[[Sequence[Any]], list[Any]]
    """Calls it on tensors in the order of `inputs`; its results in the order of `outputs`."""


def is_saved_model(path: Path) -> bool:
    """Whether the folder holds a SavedModel."""
    return (path / "saved_model.pb").is_file()


def load_signature(path: Path, name: str | None) -> Signature:
    """Load one signature; inputs and outputs have its names, in the order of their names.

    Args:
        path: A folder with `saved_model.pb`.
        name: The signature; None is `serving_default`, or the only one there is.

    Raises:
        UnsafeModelError: It would run Python, or read or write files; the message names the operation.
        ModelError: The folder is damaged, there is no such signature, or it does not tell shapes.
    """
    graphs = _read(path)
    known = {key for graph in graphs for key in graph.signature_def if not key.startswith("__")}
    chosen = _choose(path, name, known)
    for graph in graphs:
        _check(path, chosen, graph)
    model = _load(path)
    function = model.signatures[chosen]
    inputs = {key: _spec(path, key, spec) for key, spec in function.structured_input_signature[1].items()}
    outputs = {key: _spec(path, key, spec) for key, spec in function.structured_outputs.items()}
    names, results = sorted(inputs, key=_natural), sorted(outputs, key=_natural)

    def run(tensors: Sequence[Any]) -> list[Any]:
        # The variables live as long as `model` does.
        given = model.signatures[chosen](**dict(zip(names, tensors, strict=True)))
        return [given[key] for key in results]

    return Signature(tuple(inputs[key] for key in names), tuple(outputs[key] for key in results), run)


def with_rows(function: Any, rows: int) -> Any:
    """A frozen signature with its number of rows wherever its loops were traced for any number.

    Args:
        function: The signature, its weights constant and its inputs of that many rows.
        rows: How many.
    """
    import tensorflow as tf

    definition = function.graph.as_graph_def()
    for nodes in (definition.node, *(one.node_def for one in definition.library.function)):
        constants = {node.name: node for node in nodes if node.op == "Const"}
        for node in nodes:
            if node.op not in _ELEMENT_SHAPES:
                continue
            shape = constants.get(node.input[_ELEMENT_SHAPES[node.op]].partition(":")[0])
            if shape is not None:
                sizes = np.array(tf.make_ndarray(shape.attr["value"].tensor))
                if sizes.size and sizes.flat[0] == -1:
                    sizes.flat[0] = rows
                shape.attr["value"].tensor.CopyFrom(tf.make_tensor_proto(sizes))
    wrapped = tf.compat.v1.wrap_function(lambda: tf.import_graph_def(definition, name=""), [])
    feeds, fetches = (
        [wrapped.graph.as_graph_element(tensor.name) for tensor in tensors]
        for tensors in (function.inputs, function.outputs)
    )
    return wrapped.prune(feeds, fetches)


def _read(path: Path) -> list[Any]:
    """The graphs of the SavedModel that serve; there is one for each set of tags."""
    from google.protobuf.message import DecodeError
    from tensorflow.core.protobuf.saved_model_pb2 import SavedModel

    try:
        model = SavedModel.FromString((path / "saved_model.pb").read_bytes())
    except DecodeError as error:
        raise ModelError(f"{path}/saved_model.pb is not a SavedModel; is it whole? {error}") from error
    graphs = [graph for graph in model.meta_graphs if "serve" in graph.meta_info_def.tags]
    if not graphs:
        tags = ", ".join(sorted({tag for graph in model.meta_graphs for tag in graph.meta_info_def.tags}))
        raise ModelError(f"{path} has no graph with the tag serve (its tags: {tags or 'none'}); export it for serving")
    return graphs


def _choose(path: Path, name: str | None, known: set[str]) -> str:
    listed = ", ".join(sorted(known)) or "none"
    if name is None:
        name = next(iter(known)) if len(known) == 1 else DEFAULT_SIGNATURE
    if name not in known:
        raise ModelError(
            f"{path} has no signature {name!r} (it has: {listed}); "
            + ("pass one of them with --signature" if known else "save it with signatures=, or by model.export")
        )
    return name


def _load(path: Path) -> Any:
    import tensorflow as tf

    try:
        with quiet():
            return tf.saved_model.load(str(path), tags=["serve"])
    except Exception as error:  # the loader raises what its steps raise
        text = one_line(error, 300)
        raise ModelError(f"{path} cannot be loaded as a SavedModel; is it whole? {text}") from error


def _spec(path: Path, name: str, spec: Any) -> TensorSpec:
    if spec.shape.rank is None:
        raise ModelError(f"{path}: tensor {name!r} of the signature has no shape; export it with an input signature")
    if spec.shape.rank == 0:
        raise ModelError(f"{path}: tensor {name!r} of the signature is a single number; it takes tensors of rows")
    return TensorSpec(name, tuple(spec.shape), spec.dtype.name)


def _natural(name: str) -> list[Any]:
    """`output_2` before `output_10`."""
    return [int(part) if part.isdigit() else part for part in re.split(r"(\d+)", name)]


def _check(path: Path, name: str, graph: Any) -> None:
    """Refuse a signature that would do more than compute, before anything of it runs."""
    functions = {one.signature.name: one for one in graph.graph_def.library.function}
    nodes = {node.name: node for node in graph.graph_def.node}
    starts = [info.name for info in graph.signature_def[name].outputs.values()] if name in graph.signature_def else []
    for collection in ("saved_model_main_op", "legacy_init_op"):
        starts += graph.collection_def[collection].node_list.value if collection in graph.collection_def else []
    waiting = [*_upstream(starts, nodes), *_loading(graph.object_graph_def, functions)]
    seen: set[str] = set()
    while waiting:
        node = waiting.pop()
        for what, operations in _FORBIDDEN.items():
            if operations.fullmatch(node.op):
                raise UnsafeModelError(
                    f"{path}: signature {name!r} {what} (operation {node.op}, node {node.name!r}), which no light "
                    "engine does either; export a signature that only computes"
                )
        for called in _called(node, functions):
            if called not in seen:
                seen.add(called)
                waiting.extend(functions[called].node_def)


def _upstream(starts: Iterable[str], nodes: dict[str, Any]) -> Iterator[Any]:
    """All nodes of the main graph that these tensors come from."""
    waiting, seen = list(starts), set()
    while waiting:
        name = waiting.pop().lstrip("^").partition(":")[0]
        if name in nodes and name not in seen:
            seen.add(name)
            yield nodes[name]
            waiting.extend(nodes[name].input)


def _loading(objects: Any, functions: dict[str, Any]) -> Iterator[Any]:
    """The nodes of functions that run when the objects are loaded."""
    for owner in objects.nodes:
        for child in owner.children:
            inner = objects.nodes[child.node_id]
            if child.local_name in _LOADING:
                names = [*inner.function.concrete_functions, inner.bare_concrete_function.concrete_function_name]
                for name in names:
                    yield from functions[name].node_def if name in functions else ()


def _called(node: Any, functions: dict[str, Any]) -> Iterator[str]:
    """The names of functions that a node calls: its own kind, or in its attributes."""
    if node.op in functions:
        yield node.op
    for value in node.attr.values():
        for one in (value.func, *value.list.func):
            if one.name in functions:
                yield one.name
