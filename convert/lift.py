"""Preprocessing layers at the model's edge become steps; the rest is a model of numbers that every engine can run."""

from collections import Counter
from dataclasses import dataclass, replace
from typing import Any

from edgepack.convert.calling import as_computed
from edgepack.convert.edge import Edge, raw_edge
from edgepack.convert.graph import opened, ordered
from edgepack.convert.lift_layers import MUST, can_lift, lift_layer
from edgepack.convert.lowering.lookup import can_lower
from edgepack.convert.samples import Samples
from edgepack.convert.source import Source
from edgepack.runtime.errors import ConvertError, DataError, EdgepackError, ModelError, one_line
from edgepack.runtime.manifest import Step, Steps
from edgepack.runtime.steps.samples import Preparation, raw_names
from edgepack.runtime.tensor import Array, TensorSpec


@dataclass(frozen=True, slots=True)
class Lifted:
    """A model cut in two: steps, and a model that takes what they give."""

    original: Source
    rest: Source
    """What is left; it takes tensors of numbers."""
    steps: Steps
    edges: dict[str, Edge]
    """What each of its inputs is made of."""
    layers: tuple[str, ...]
    """What became steps."""

    @property
    def notes(self) -> tuple[str, ...]:
        """What was done, for the report."""
        return tuple(f"{layer} became steps of the pack, exact to Keras" for layer in self.layers)

    @property
    def grows(self) -> bool:
        """Whether rows are as long as the longest of their batch."""
        return any(edge.grows for edge in self.edges.values())

    def tensors(self, samples: Samples) -> Samples:
        """Samples of the original model as what the rest takes; the raw ones come along."""
        names = raw_names(self.rest.inputs, self.steps)
        rows = [{name: samples.inputs[name][row] for name in names} for row in range(len(samples))]
        try:
            prepared = Preparation(self.rest.inputs, self.steps)(rows)
            inputs = {spec.name: spec.check(prepared[spec.name]) for spec in self.rest.inputs}
        except EdgepackError as error:
            raise DataError(f"the samples do not fit the model's own preprocessing: {error}") from error
        return replace(samples, inputs=inputs, raw=samples.inputs)

    def predict(self, samples: Samples) -> dict[str, Array]:
        """The original model's own outputs on the raw samples."""
        size = samples.rows_at_once
        if any(step.step == "mel_spectrogram" for edge in self.edges.values() for step in edge.steps):
            size = 1  # Keras limits what is quiet by the loudest of a batch, the step by the loudest of a sound
        if self.grows:
            size = len(samples)  # Keras must pad all rows alike, as the steps did
        return self.original.predict(samples.raw, batch=size)

    def merged(self, card: Steps) -> Steps:
        """The steps of a card, each before what was lifted from the input it is for."""
        kept = {spec.name: card.inputs[spec.name] for spec in self.rest.inputs if spec.name in card.inputs}
        chains = {name: _after_card(chain, card) for name, chain in self.steps.inputs.items()}
        return Steps(inputs={**kept, **chains}, outputs=card.outputs)


def lift(source: Source, *, everything: bool = False) -> Lifted | None:
    """Cut the preprocessing layers off a model that no light engine runs.

    Args:
        source: The model.
        everything: Cut off those too that engines run but steps can do as exactly.

    Returns:
        The two parts, or None where there is nothing to cut off.

    Raises:
        ModelError: Such a layer stands where it cannot be cut off, or no steps do exactly what it does.
    """
    layers: list[Any] = getattr(source.model, "_flatten_layers", list)()
    if not any(_must(layer) or (everything and can_lift(layer)) for layer in layers):
        return None
    graph = opened(source.model, _concerns)
    if graph is None:
        blocked = next(filter(_concerns if everything else _must_be_cut, layers), None)
        if blocked is None:
            return None
        raise ModelError(_out_of_reach(source.model, blocked))
    edges = {
        id(tensor): raw_edge(spec.name, spec.shape[1:], spec.dtype)
        for spec, tensor in zip(source.inputs, graph.inputs, strict=True)
    }
    nodes = ordered(graph)
    lifted = _lift_nodes(nodes, edges, everything=everything)
    return _cut(source, graph, [node for node in nodes if node not in lifted], lifted, edges) if lifted else None


def _cut(source: Source, graph: Any, kept: list[Any], lifted: list[Any], edges: dict[int, Edge]) -> Lifted:
    """The two parts: calls that became steps, and calls that are kept."""
    frontier = _frontier(graph, kept, edges)
    names = _names(frontier, edges, {spec.name for spec in source.outputs})
    by_name = {name: edges[id(tensor)] for name, tensor in zip(names, frontier, strict=True)}
    return Lifted(
        original=source,
        rest=_rest(source, graph, kept, dict(zip(map(id, frontier), by_name.items(), strict=True))),
        steps=Steps(inputs={name: _chain(name, edge) for name, edge in by_name.items()}),
        edges=by_name,
        layers=tuple(_described(node.operation) for node in lifted),
    )


def _must(layer: Any) -> bool:
    return any(kind.__name__ in MUST for kind in type(layer).__mro__)


def _must_be_cut(layer: Any) -> bool:
    return _must(layer) and not can_lower(layer)


def _concerns(layer: Any) -> bool:
    return _must(layer) or can_lift(layer)


def _described(layer: Any) -> str:
    return f"{type(layer).__name__} {layer.name!r}"


def _lift_nodes(nodes: list[Any], edges: dict[int, Edge], *, everything: bool) -> list[Any]:
    """Do what can be done by steps; `edges` grows by what each gives. Returns the calls that became steps."""
    lifted = []
    for node, needing in zip(nodes, _needing(nodes), strict=True):
        edge = _lifted(node, needing, edges, everything=everything)
        if edge is not None:
            edges[id(node.outputs[0])] = edge
            lifted.append(node)
    return lifted


def _needing(nodes: list[Any]) -> list[Any]:
    """For each call, a layer that must be lifted and needs it (itself, if so); None where there is none."""
    needed: dict[int, Any] = {}
    found = []
    for node in reversed(nodes):
        layer = next((needed[id(tensor)] for tensor in node.outputs if id(tensor) in needed), None)
        if _must(node.operation):
            layer = node.operation
        found.append(layer)
        if layer is not None:
            needed |= {id(tensor): layer for tensor in node.input_tensors}
    return found[::-1]


def _lifted(node: Any, needing: Any, edges: dict[int, Edge], *, everything: bool) -> Edge | None:
    """What a call gives, as steps; None where it stays in the model."""
    layer, name = node.operation, _described(node.operation)
    stays = can_lower(needing)
    inside = [] if _must(layer) or not hasattr(layer, "_flatten_layers") else layer._flatten_layers(include_self=False)
    if hidden := next(filter(_must_be_cut, inside), None):
        raise ModelError(_out_of_reach(layer, hidden))
    given = [edges[id(tensor)] for tensor in node.input_tensors if id(tensor) in edges]
    at_edge = len(given) == len(node.input_tensors)
    if needing and not (at_edge and can_lift(layer)):
        if stays:
            return None
        raise ModelError(_refusal(layer, needing))
    # CategoryEncoding goes with the lookup before it: its vector is nothing to a step, and a loop to some engines.
    follows = type(layer).__name__ == "CategoryEncoding" and any(edge.is_lifted for edge in given)
    if not (at_edge and can_lift(layer) and (needing or everything or follows)):
        return None
    try:
        _check_call(node)
        return lift_layer(layer, given)
    except ConvertError as error:
        if (needing or everything) and not stays:
            hint = "" if needing else " (without --lift it stays in the file)"
            raise ModelError(f"{name} cannot become a step: {error}{hint}") from error
        return None


def _out_of_reach(owner: Any, layer: Any) -> str:
    """Why a layer inside another that is no graph of calls cannot be cut off."""
    return (
        f"{_described(layer)} cannot be cut off {_described(owner)}, which is a class of its own: build the model from "
        "layers with keras.Model(inputs, outputs), or do the work of that layer before the model"
    )


def _refusal(layer: Any, needing: Any) -> str:
    """Why a layer that must be lifted, or one before it, cannot be."""
    if getattr(needing, "invert", False):
        return (
            f"{_described(needing)} runs in no light engine, and it takes what the model computes: end the model "
            "before it; names of classes belong into the card, as labels"
        )
    if layer is needing and not can_lift(layer):
        return f"{_described(layer)} is a class of its own, and there is no step for it: do its work before the model"
    if layer is needing:
        return (
            f"{_described(layer)} runs in no light engine, and takes what the model computes: end the model before it"
        )
    return (
        f"{_described(layer)} stands before {_described(needing)}, which runs in no light engine, and there is no step "
        "for it: do its work before the model"
    )


def _check_call(node: Any) -> None:
    """Refuse a call with more than its one argument."""
    more = [name for name, value in node.arguments.kwargs.items() if value is not None and name != "training"]
    if more or len(node.arguments.args) != 1:
        raise ConvertError(f"it is called with {', '.join(more) or 'several arguments'}")


def _frontier(graph: Any, kept: list[Any], edges: dict[int, Edge]) -> list[Any]:
    """The tensors between the two parts, in the order of the model's inputs."""
    found: dict[int, Any] = {}
    uses = [(tensor, f"{_described(node.operation)} takes") for node in kept for tensor in node.input_tensors]
    uses += [(tensor, f"output {tensor._keras_history.operation.name!r} is") for tensor in graph.outputs]
    for tensor, user in uses:
        if id(tensor) not in edges:
            continue
        if edges[id(tensor)].dtype == "string":
            raise ModelError(f"{user} text, which no engine handles, and no step takes: end the model before it")
        found[id(tensor)] = tensor
    order = [edges[id(tensor)].raw[0] for tensor in graph.inputs]
    return sorted(found.values(), key=lambda tensor: order.index(edges[id(tensor)].raw[0]))


def _names(frontier: list[Any], edges: dict[int, Edge], outputs: set[str]) -> list[str]:
    """Names of the rest's inputs: that of the raw value, or of the layer where a raw value goes several ways."""
    uses = Counter(name for tensor in frontier for name in edges[id(tensor)].raw)
    taken = {*uses, *outputs}
    names = []
    for tensor in frontier:
        edge = edges[id(tensor)]
        plain = len(edge.raw) == 1 and (uses[edge.raw[0]] == 1 or not edge.is_lifted)
        name = edge.raw[0] if plain else tensor._keras_history.operation.name
        while not plain and name in taken:
            name += "_lifted"
        taken.add(name)
        names.append(name)
    return names


def _chain(name: str, edge: Edge) -> tuple[Step, ...]:
    """The steps of the rest's input `name`; they begin with a `gather` where it is not a raw value's own name."""
    first, *others = edge.steps
    if first.step == "gather" or edge.raw == (name,):
        return edge.steps
    return (Step("gather", {"of": [{"name": edge.raw[0], "steps": [_data(first)]}]}), *others)


def _rest(source: Source, graph: Any, kept: list[Any], inputs: dict[int, tuple[str, Edge]]) -> Source:
    """The calls that stay, as a model of what the steps give; its weights are those of the original."""
    import keras

    new = {
        key: keras.Input(batch_shape=(graph.inputs[0].shape[0], *edge.shape), dtype=edge.dtype, name=name)
        for key, (name, edge) in inputs.items()
    }
    tensors = dict(new)
    for node in kept:
        args, kwargs = node.arguments.fill_in(tensors)
        try:
            outputs = node.operation(*args, **kwargs)
        except Exception as error:  # a layer may raise anything when it is called
            shapes = ", ".join(str(tensors[id(tensor)].shape) for tensor in node.input_tensors if id(tensor) in tensors)
            raise ModelError(
                f"{_described(node.operation)} cannot be called on what the steps give ({shapes}): "
                f"{one_line(error, 300)}"
            ) from error
        tensors |= dict(zip(map(id, node.outputs), keras.tree.flatten(outputs), strict=True))
    ends = [tensors[id(tensor)] for tensor in graph.outputs]
    outputs = keras.tree.pack_sequence_as(graph._outputs_struct, ends)
    model = keras.Model(list(new.values()), outputs, name=source.model.name)
    specs = tuple(TensorSpec(name, tuple(new[key].shape), edge.dtype) for key, (name, edge) in inputs.items())
    said = [
        TensorSpec(spec.name, tuple(tensor.shape), str(tensor.dtype))
        for spec, tensor in zip(source.outputs, model.outputs, strict=True)
    ]
    return replace(source, model=model, inputs=specs, outputs=as_computed(model, specs, said))


def _after_card(chain: tuple[Step, ...], card: Steps) -> tuple[Step, ...]:
    """A lifted chain behind what the card does to each raw value first."""
    first, *rest = chain
    if first.step == "take":
        return (*card.inputs.get(first.options["name"], ()), *chain)
    parts = [
        {**part, "steps": [*map(_data, card.inputs.get(part["name"], ())), *part["steps"]]}
        for part in first.options["of"]
    ]
    return (Step("gather", {"of": parts}), *rest)


def _data(step: Step) -> dict[str, Any]:
    return {"step": step.step, "options": step.options}
