"""One layer of a Keras 2 file made in Keras 3."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from edgepack.convert.legacy.repairs import Config, drop_unknown, policy, repair
from edgepack.runtime.errors import EdgepackError, ModelError, UnsafeModelError

# Where a layer keeps the configs of layers inside it.
_INNER = ("layer", "backward_layer", "cell", "cells", "activation")


@dataclass(slots=True)
class Part:
    """A layer and, where it is a model or wraps a layer, the parts inside in the file's order."""

    layer: Any
    kind: str
    """Its class in the file."""
    parts: list["Part"] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Maker:
    """What makes parts of one file."""

    unsafe_lambda: bool
    masks: bool
    """Whether any layer of the file makes masks."""
    model: Callable[[Config, "Maker"], Part | None]
    """Makes an entry that is a model; None for one that is a layer."""

    def make(self, entry: Config) -> Part:
        """Make a layer or a whole model from its entry `{"class_name": …, "config": …}` in a Keras 2 config.

        Raises:
            UnsafeModelError: There is a Lambda layer and `unsafe_lambda` is False.
            ModelError: A layer that cannot be repaired; the message names it.
        """
        return self.model(entry, self) or self._layer(entry)

    def _layer(self, entry: Config) -> Part:
        kind, config = entry["class_name"], dict(entry["config"])
        config["name"] = legal(str(entry.get("name") or config.get("name")))
        try:
            if kind == "Lambda":
                return Part(_lambda(config, unsafe=self.unsafe_lambda), kind)
            found = find_registered(entry)
            if found is not None:
                return Part(found.from_config(_of_the_user(config)), kind)
            inner = {key: self._inner(config[key]) for key in _INNER if _is_layers(config.get(key))}
            name, repaired = repair(kind, config)
            layer_class = self._find(name)
            layer = _make(layer_class, repaired, {key: _layers(value) for key, value in inner.items()})
        except EdgepackError as error:
            raise type(error)(f"layer {config['name']!r} ({kind}) {error}") from error
        except Exception as error:  # a layer raises what it likes
            raise ModelError(
                f"layer {config['name']!r} ({kind}) cannot be made in Keras 3: {' '.join(str(error).split())[:300]}"
            ) from error
        return Part(
            layer,
            kind,
            [inner["layer"]] if "layer" in inner and vars(layer).get("layer") is inner["layer"].layer else [],
        )

    def _find(self, name: str) -> Any:
        import keras

        from edgepack.convert.legacy import layers, masked, nodes

        places = (masked, keras.layers, layers, nodes) if self.masks else (keras.layers, layers, nodes)
        found = next((found for place in places if (found := getattr(place, name, None))), None)
        if found is None:
            raise ModelError("is of a class that Keras 3 does not have; replace it, or pass --custom module:name")
        return found

    def _inner(self, value: Any) -> Any:
        return [self.make(one) for one in value] if isinstance(value, list) else self.make(value)


def legal(name: str) -> str:
    """The name as Keras 3 takes it: without slashes."""
    return name.replace("/", "_")


def find_registered(entry: Config) -> Any:
    """The user's own class for this entry, if it was passed with --custom or registered with Keras."""
    import keras

    names = (entry.get("registered_name"), entry["class_name"], entry["class_name"].rpartition(">")[2])
    return next((found for name in names if name and (found := keras.saving.get_registered_object(name))), None)


def _of_the_user(config: Config) -> Config:
    """The config of a class of the user's: as its own `get_config` wrote it, but for what Keras 2 added."""
    kept = {key: value for key, value in config.items() if key != "batch_input_shape"}
    return {**kept, "dtype": policy(kept["dtype"])} if "dtype" in kept else kept


def _is_layers(value: Any) -> bool:
    """Whether this is the config of a layer, or a list of such; a function has a name where a layer has a config."""
    if isinstance(value, list):
        return bool(value) and all(map(_is_layers, value))
    return isinstance(value, dict) and isinstance(value.get("config"), dict) and "class_name" in value


def _layers(value: Any) -> Any:
    return [part.layer for part in value] if isinstance(value, list) else value.layer


def _make(layer_class: Any, config: Config, inner: Config) -> Any:
    functions = {
        key: _activation(config[key])
        for key in ("activation", "recurrent_activation")
        if isinstance(config.get(key), str)
    }
    return layer_class(**drop_unknown(layer_class, {**config, **functions, **inner}))


def _activation(name: str) -> Any:
    import keras

    try:
        return keras.saving.get_registered_object(name) or keras.activations.get(name)
    except ValueError as error:
        raise ModelError(f"has the activation {name!r}, which is unknown here; pass --custom module:{name}") from error


def _lambda(config: Config, *, unsafe: bool) -> Any:
    import keras

    function = config["function"]
    if config.get("function_type") == "function" and isinstance(function, str):
        found = keras.saving.get_registered_object(function)
        if found is None:
            raise ModelError(f"calls the function {function!r}; pass it with --custom module:{function}")
        return keras.layers.Lambda(found, name=config["name"], arguments=config.get("arguments") or {})
    if not unsafe:
        raise UnsafeModelError(
            "is a Lambda layer: loading it would execute code from the file; replace the layer, "
            "or pass --unsafe-lambda (unsafe_lambda=True) if you trust where the file comes from"
        )
    if isinstance(function, (list, tuple)):
        function = {
            "class_name": "__lambda__",
            "config": dict(zip(("code", "defaults", "closure"), function, strict=True)),
        }
    kept = {"name": config["name"], "function": function, "arguments": config.get("arguments") or {}}
    return keras.layers.Lambda.from_config(kept, safe_mode=False)
