"""The models of a Keras 2 file made in Keras 3: every layer repaired, every call between them made again."""

from collections.abc import Iterator, Sequence
from typing import Any

from edgepack.convert.legacy.parts import Maker, Part, find_registered, legal
from edgepack.convert.legacy.repairs import Config
from edgepack.runtime.errors import EdgepackError, ModelError, one_line

_CONSTANT = "_CONSTANT_VALUE"  # in a call, in place of a layer's name
_FUNCTIONS = ("TFOpLambda", "SlicingOpLambda")
_GRAPHS = ("Functional", "Model", "Network")
# Called on a list, these take the first as input and the others as states to begin with.
_RECURRENT = ("Bidirectional", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "CuDNNGRU", "CuDNNLSTM", "GRU", "LSTM", "RNN",
              "SimpleRNN")  # fmt: skip
# These hand a mask on in Keras 3; in Keras 2 it ended at them.
_MASK_ENDS = ("CategoryEncoding", "Discretization", "Identity", "Normalization", "Rescaling")


def make_model(entry: Config, maker: Maker) -> Part | None:
    """Make a model from its entry in a Keras 2 config; None for an entry that is a layer.

    Raises:
        ModelError: A layer that cannot be repaired, or a class whose code the file does not hold.
    """
    if entry["class_name"] == "Sequential":
        return _sequential(entry["config"], maker)
    if entry["class_name"] in _GRAPHS or _is_graph(entry):
        return _Graph(entry, maker).make()
    return None


def _is_graph(entry: Config) -> bool:
    """Whether this is a functional model under the name of a class of the user's that adds nothing to the call."""
    import keras

    config = entry["config"]
    if not isinstance(config, dict) or not {"layers", "input_layers", "output_layers"} <= set(config):
        return False
    found = find_registered(entry)
    if found is None or found.call is not keras.Model.call:
        raise ModelError(
            f"model {config.get('name')!r} is of class {entry['class_name']}, whose code is not in the file; "
            "export it as a SavedModel where that code is"
        )
    return True


def _sequential(config: Any, maker: Maker) -> Part:
    import keras

    named: Config = config if isinstance(config, dict) else {"name": "sequential", "layers": config}
    parts = [maker.make(entry) for entry in named["layers"]]
    layers = [part.layer for part in parts]
    first = named["layers"][0]["config"] if parts else {}
    if "batch_input_shape" in first and parts[0].kind != "InputLayer":
        shape, name = tuple(first["batch_input_shape"]), legal(f"{first['name']}_input")
        layers.insert(0, keras.Input(batch_shape=shape, dtype=first.get("dtype") or "float32", name=name))
    model = keras.Sequential(layers, name=legal(named["name"]))
    if not model.built and named.get("build_input_shape"):
        model.build(tuple(named["build_input_shape"]))
    return _frozen(named, Part(model, "Sequential", [part for part in parts if part.kind != "InputLayer"]))


def _frozen(config: Config, part: Part) -> Part:
    if not config.get("trainable", True):  # setting it to True would thaw the layers inside
        part.layer.trainable = False
    return part


class _Graph:
    """A functional model while it is made again."""

    def __init__(self, entry: Config, maker: Maker) -> None:
        self.kind, self.config, self.maker = entry["class_name"], entry["config"], maker
        self.entries: dict[str, Config] = {one["name"]: one for one in self.config["layers"]}
        self.parts: dict[str, Part] = {}
        self.tensors: dict[tuple[str, int], list[Any]] = {}
        self.calls: dict[str, int] = {}

    def make(self) -> Part:
        import keras

        for name, entry in self.entries.items():
            self._add(name, entry)
        waiting = {name: list(entry["inbound_nodes"]) for name, entry in self.entries.items()}
        while any(waiting.values()):
            called = [name for name, nodes in waiting.items() if self._call(name, nodes)]
            if not called:
                stuck = ", ".join(name for name, nodes in waiting.items() if nodes)
                raise ModelError(f"its layers {stuck} wait for tensors that no layer gives; is the file whole?")
        inputs, outputs = (_single(self._filled(self.config[key])) for key in ("input_layers", "output_layers"))
        model = keras.Model(inputs, outputs, name=legal(self.config["name"]))
        return _frozen(self.config, Part(model, self.kind, list(self.parts.values())))

    def _add(self, name: str, entry: Config) -> None:
        import keras

        _take_name(legal(name))
        self.calls[name] = 0
        if entry["class_name"] in _FUNCTIONS:
            self.parts[name] = Part(None, entry["class_name"])  # made when its tensors are there
            return
        self.parts[name] = self.maker.make(entry)
        if entry["class_name"] == "InputLayer":
            self.tensors[name, 0] = [self.parts[name].layer.output]
        elif isinstance(self.parts[name].layer, keras.Model):
            # In Keras 2, a model made with its inputs has had a call before the first in this graph.
            self.calls[name] = min((one[1] for one in self._references(self.config) if one[0] == name), default=0)

    def _call(self, name: str, nodes: list[Any]) -> bool:
        """Make again those calls, in order, whose tensors are there by now; whether there were any."""
        import keras

        count = len(nodes)
        while nodes and all(self._is_there(one) for one in self._references(nodes[0])):
            node = nodes.pop(0)
            try:
                outputs = self._apply(name, self.parts[name], node)
            except EdgepackError as error:
                raise type(error)(f"layer {name!r} ({self.parts[name].kind}) {error}") from error
            except Exception as error:  # a layer raises what it likes
                text = one_line(error, 300)
                raise ModelError(
                    f"layer {name!r} ({self.parts[name].kind}) does not take in Keras 3 what it took in Keras 2: {text}"
                ) from error
            self.tensors[name, self.calls[name]] = keras.tree.flatten(outputs)
            self.calls[name] += 1
        return len(nodes) < count

    def _apply(self, name: str, part: Part, node: Any) -> Any:
        arguments: Config = next((one[3] for one in self._references(node) if len(one) == 4), {})  # beside each tensor
        arguments = {key: value for key, value in arguments.items() if key != "name"}
        if part.kind in _FUNCTIONS:
            return self._function(name, part, node, arguments)
        first, arguments = _single(self._filled(node)), {key: self._filled(value) for key, value in arguments.items()}
        if part.kind in _MASK_ENDS:
            first = _without_mask(first)
        if part.kind in _RECURRENT and isinstance(first, list):
            first, arguments = first[0], {**arguments, "initial_state": first[1:]}
        return part.layer(first, **arguments)

    def _function(self, name: str, part: Part, node: Any, arguments: Config) -> Any:
        """Call a TensorFlow function that Keras 2 kept as a layer; each call is a layer of ours."""
        from edgepack.convert.legacy.layers import TensorFunction

        tensors: list[Any] = []
        part.layer = TensorFunction(
            self.entries[name]["config"]["function"],
            self._template(node, tensors),
            {key: self._template(value, tensors) for key, value in arguments.items()},
            name=legal(f"{name}_{self.calls[name]}" if self.calls[name] else name),
        )
        return part.layer(tensors)

    def _template(self, value: Any, tensors: list[Any]) -> Any:
        """The argument with places for its tensors, which are added to `tensors`."""
        if self._is_reference(value):
            if value[0] == _CONSTANT:
                return value[2]
            tensors.append(self._tensor(value))
            return {"tensor": len(tensors) - 1}
        if isinstance(value, dict):
            return {key: self._template(one, tensors) for key, one in value.items()}
        return [self._template(one, tensors) for one in value] if isinstance(value, (list, tuple)) else value

    def _filled(self, value: Any) -> Any:
        """The same nesting with tensors in place of references."""
        if self._is_reference(value):
            return value[2] if value[0] == _CONSTANT else self._tensor(value)
        if isinstance(value, dict):
            return {key: self._filled(one) for key, one in value.items()}
        return [self._filled(one) for one in value] if isinstance(value, (list, tuple)) else value

    def _is_there(self, reference: Sequence[Any]) -> bool:
        return reference[0] == _CONSTANT or (reference[0], reference[1]) in self.tensors

    def _tensor(self, reference: Sequence[Any]) -> Any:
        name, call, index = reference[:3]
        return self.tensors[name, call][index]

    def _is_reference(self, value: Any) -> bool:
        """Whether this is `[layer, call, index]`, or the same with arguments behind it."""
        return (
            isinstance(value, (list, tuple))
            and len(value) in {3, 4}
            and isinstance(value[0], str)
            and (value[0] in self.entries or value[0] == _CONSTANT)
            and isinstance(value[1], int)
        )

    def _references(self, value: Any) -> Iterator[Any]:
        """All references anywhere inside, constants as well."""
        if self._is_reference(value):
            yield value
        inside = value.values() if isinstance(value, dict) else value if isinstance(value, (list, tuple)) else ()
        for one in inside:
            yield from self._references(one)


def _take_name(name: str) -> None:
    """Keep Keras from giving this name to an operation of its own, such as the joining of two masks."""
    import keras

    plain, _, number = name.rpartition("_")
    plain, number = (plain, number) if number.isdigit() and len(number) < 5 else (name, "0")
    while hasattr(keras.ops, plain) and keras.backend.get_uid(plain) <= int(number):
        pass


def _single(value: Any) -> Any:
    """The tensor of a list that holds nothing else."""
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _without_mask(value: Any) -> Any:
    """The tensor without its mask, by way of a layer that hands none on."""
    from edgepack.convert.legacy.layers import TensorFunction

    if getattr(value, "_keras_mask", None) is None:
        return value
    return TensorFunction("identity", {"tensor": 0}, {})([value])
