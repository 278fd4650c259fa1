"""What a Keras 2 layer's config must say for Keras 3 to make the same layer: one table, layer class to repair."""

import inspect
from collections.abc import Callable
from typing import Any

from edgepack.runtime.errors import ModelError

Config = dict[str, Any]

# Classes that go by another name now; those of "edgepack" are our own.
_RENAMED = {
    "BatchNormalizationV1": "BatchNormalization",
    "BatchNormalizationV2": "BatchNormalization",
    "SyncBatchNormalization": "BatchNormalization",
    "CuDNNGRU": "GRU",
    "CuDNNLSTM": "LSTM",
    "RandomCrop": "Resizing",
    "RandomHeight": "Identity",
    "RandomWidth": "Identity",
    "UnifiedGRU": "GRU",
    "UnifiedLSTM": "LSTM",
}

# Only training looks at these; every weight is read from the file.
_TRAINING = ("_initializer", "_regularizer", "_constraint")

# Keys that Keras 3 does not take -> values that mean nothing at inference; None is any value.
_DROPPED: dict[str, tuple[Any, ...] | None] = {
    "adjustment": (None,),
    "batch_input_shape": None,
    "causal": (False,),
    "dynamic": (False,),
    "force_generator": None,
    "fused": None,
    "groups": (1,),
    "has_input_vocabulary": None,
    "implementation": None,
    "input_dtype": None,
    "input_length": None,
    "input_shape": None,
    "key_shape": None,
    "noise_shape": None,
    "num_constants": (None, 0),
    "query_shape": None,
    "ragged": (False, None),
    "renorm": (False,),
    "renorm_clipping": None,
    "renorm_momentum": None,
    "rng_type": None,
    "robust_masking": None,
    "softmax_robust_masking": None,
    "sparse": None,
    "time_major": (False,),
    "trainable": None,
    "value_shape": None,
    "virtual_batch_size": (None,),
    "vocabulary_size": None,
}

# Activations Keras 2 wrote under names that Keras 3 reads otherwise, or not at all.
_ACTIVATIONS = {
    "hard_sigmoid": "edgepack>hard_sigmoid_keras2",
    "softmax_v2": "softmax",
    "swish_v1": "silu",
    "gelu_v2": "gelu",
}


def repair(kind: str, config: Config) -> tuple[str, Config]:
    """The class and config Keras 3 takes for a built-in Keras 2 layer; keys it may not know are not yet dropped."""
    kept = {key: value for key, value in config.items() if not key.endswith(_TRAINING)}
    if "dtype" in kept:
        kept["dtype"] = policy(kept["dtype"])
    for key in ("activation", "recurrent_activation"):
        if isinstance(kept.get(key), (str, dict)):
            kept[key] = _activation(kept[key])
    return _RENAMED.get(kind, kind), _REPAIRS.get(kind, _nothing)(kept)


def drop_unknown(layer_class: Callable[..., Any], config: Config) -> Config:
    """The config without keys that the class does not take.

    Raises:
        ModelError: Such a key means something; the message names it and its value.
    """
    taken = _parameters(layer_class)
    for key, value in config.items():
        if key in taken:
            continue
        meaningless = _DROPPED.get(key, ())
        if meaningless is not None and value not in meaningless:
            raise ModelError(
                f"has {key}={value!r}, which Keras 3 has no word for; make that layer anew in Keras 3, "
                "or pass a class of your own with --custom module:name"
            )
    return {key: value for key, value in config.items() if key in taken}


def _parameters(layer_class: Any) -> set[str]:
    """Names the class takes: those of its own, and of its parents as far as it passes the rest on."""
    names: set[str] = set()
    for parent in layer_class.__mro__[:-1]:
        if "__init__" not in vars(parent):
            continue
        parameters = inspect.signature(parent.__init__).parameters.values()
        names |= {one.name for one in parameters if one.kind is not one.VAR_KEYWORD}
        if not any(one.kind is one.VAR_KEYWORD for one in parameters):
            break
    return names - {"self"}


def policy(dtype: Any) -> str | None:
    """A dtype policy by name: Keras 2 wrote objects, Keras 1.x "infer"."""
    if isinstance(dtype, dict):
        dtype = dtype["config"].get("name")
    return None if dtype in {None, "infer", "_infer"} else str(dtype)


def _activation(value: str | Config) -> str | Config:
    """An activation by a name that means in Keras 3 what it meant; one that is a layer stays a config."""
    if isinstance(value, dict) and isinstance(value.get("config"), str):
        value = value.get("registered_name") or value["config"]
    return _ACTIVATIONS.get(value, value) if isinstance(value, str) else value


def _nothing(config: Config) -> Config:
    return config


def _one_axis(config: Config) -> Config:
    """`axis: [3]` is `axis: 3`."""
    axis = config.get("axis")
    return {**config, "axis": int(axis[0])} if isinstance(axis, (list, tuple)) and len(axis) == 1 else config


def _leaky(config: Config) -> Config:
    """`alpha` is `negative_slope` now."""
    return {("negative_slope" if key == "alpha" else key): _number(value) for key, value in config.items()}


def _numbers(config: Config) -> Config:
    """Early files keep numbers as `{"class_name": "ndarray", "value": 0.1}`."""
    return {key: _number(value) for key, value in config.items()}


def _number(value: Any) -> Any:
    return value.get("value", value) if isinstance(value, dict) and "config" not in value else value


def _input(config: Config) -> Config:
    """`batch_input_shape` is `batch_shape` now."""
    shape = config["batch_input_shape"] if "batch_input_shape" in config else config["batch_shape"]
    return {**config, "batch_shape": tuple(shape)}


def _gru(config: Config) -> Config:
    """Keras 2 without the word meant `reset_after=False`, Keras 3 means True."""
    return {"reset_after": False, **config}


def _cudnn_gru(config: Config) -> Config:
    return {**config, "reset_after": True, "recurrent_activation": "sigmoid", "activation": "tanh"}


def _cudnn_lstm(config: Config) -> Config:
    return {**config, "recurrent_activation": "sigmoid", "activation": "tanh"}


def _identity(config: Config) -> Config:
    """Nothing is left of the layer at inference."""
    return {key: config[key] for key in ("name", "dtype") if key in config}


def _attention(config: Config) -> Config:
    """Without dropout Keras 3 computes attention in one way alone."""
    return {**config, "dropout": 0.0}


def _crop(config: Config) -> Config:
    """At inference, Keras 2 resized what was left of the longer side."""
    return {**{key: value for key, value in config.items() if key != "seed"}, "crop_to_aspect_ratio": True}


# Layer class in the file -> what its config needs, beyond what every layer gets.
_REPAIRS: dict[str, Callable[[Config], Config]] = {
    "BatchNormalization": _one_axis,
    "BatchNormalizationV1": _one_axis,
    "BatchNormalizationV2": _one_axis,
    "CuDNNGRU": _cudnn_gru,
    "CuDNNLSTM": _cudnn_lstm,
    "ELU": _numbers,
    "GRU": _gru,
    "GRUCell": _gru,
    "InputLayer": _input,
    "LayerNormalization": _one_axis,
    "LeakyReLU": _leaky,
    "MultiHeadAttention": _attention,
    "RandomCrop": _crop,
    "RandomHeight": _identity,
    "RandomWidth": _identity,
    "ReLU": _numbers,
    "SyncBatchNormalization": _one_axis,
    "ThresholdedReLU": _numbers,
    "UnifiedGRU": _gru,
}
