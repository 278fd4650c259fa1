"""Random small functional graphs, as data: drawn by hypothesis, built in Keras, printed as a script that makes them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from hypothesis import strategies as st

from edgepack.quiet import import_keras
from tests.conformance.making import Array, normal, scatter, tokens

_VOCABULARY = 11

# name -> (arguments, each a strategy; what its first argument's shape without batch must be like)
Fits = Callable[[tuple[int, ...]], bool]
_ACTIVATION = st.sampled_from(["relu", "tanh", "sigmoid", "gelu", "silu", "softmax", "linear"])
_PADDING = st.sampled_from(["valid", "same"])
_FEW = st.integers(2, 6)
_HEADS = st.sampled_from([2, 3])
_FLAG = st.booleans()


def _rank(*ranks: int, least: int = 1) -> Fits:
    """Shapes of these ranks whose axes but the last are `least` long or longer."""
    return lambda shape: len(shape) in ranks and all(size >= least for size in shape[:-1])


# layer -> (shapes it takes, arguments); the tables are what the graphs are made of
_SINGLE: dict[str, tuple[Fits, Mapping[str, st.SearchStrategy[Any]]]] = {
    "Dense": (_rank(1, 2, 3), {"units": _FEW, "activation": _ACTIVATION}),
    "BatchNormalization": (_rank(1, 2, 3), {"axis": st.just(-1)}),
    "LayerNormalization": (lambda shape: shape[-1] > 2, {}),
    "UnitNormalization": (lambda shape: shape[-1] > 2, {}),
    "Activation": (_rank(1, 2, 3), {"activation": _ACTIVATION}),
    "ReLU": (
        _rank(1, 2, 3),
        {"max_value": st.sampled_from([None, 6.0]), "negative_slope": st.sampled_from([0.0, 0.1])},
    ),
    "LeakyReLU": (_rank(1, 2, 3), {"negative_slope": st.sampled_from([0.1, 0.3])}),
    "ELU": (_rank(1, 2, 3), {}),
    "PReLU": (_rank(1, 2, 3), {}),
    "Softmax": (_rank(1, 2, 3), {}),
    "Dropout": (_rank(1, 2, 3), {"rate": st.just(0.3)}),
    "GaussianNoise": (_rank(1, 2, 3), {"stddev": st.just(0.3)}),
    "Rescaling": (_rank(1, 2, 3), {"scale": st.just(0.5), "offset": st.sampled_from([0.0, -0.5])}),
    "Flatten": (_rank(2, 3), {}),
    "RepeatVector": (_rank(1), {"n": _FEW}),
    "Permute": (_rank(2), {"dims": st.just((2, 1))}),
    "Conv1D": (
        _rank(2, least=3),
        {
            "filters": _FEW,
            "kernel_size": st.sampled_from([1, 2, 3]),
            "activation": _ACTIVATION,
            "padding": st.sampled_from(["valid", "same", "causal"]),
            "strides": st.sampled_from([1, 2]),
        },
    ),
    "SeparableConv1D": (_rank(2, least=3), {"filters": _FEW, "kernel_size": st.just(3), "padding": _PADDING}),
    "Conv1DTranspose": (
        _rank(2),
        {"filters": _FEW, "kernel_size": st.just(3), "padding": _PADDING, "strides": st.sampled_from([1, 2])},
    ),
    "MaxPooling1D": (_rank(2, least=2), {"padding": _PADDING}),
    "AveragePooling1D": (_rank(2, least=2), {"pool_size": st.just(2), "padding": _PADDING}),
    "GlobalAveragePooling1D": (_rank(2), {}),
    "GlobalMaxPooling1D": (_rank(2), {}),
    "UpSampling1D": (_rank(2), {"size": st.just(2)}),
    "ZeroPadding1D": (_rank(2), {}),
    "Cropping1D": (_rank(2, least=4), {}),
    "SpatialDropout1D": (_rank(2), {"rate": st.just(0.3)}),
    "LSTM": (_rank(2), {"units": _FEW, "return_sequences": _FLAG, "go_backwards": _FLAG}),
    "GRU": (_rank(2), {"units": _FEW, "return_sequences": _FLAG, "reset_after": _FLAG}),
    "SimpleRNN": (_rank(2), {"units": _FEW, "return_sequences": _FLAG}),
    "Conv2D": (
        _rank(3, least=3),
        {
            "filters": _FEW,
            "kernel_size": st.sampled_from([1, 3, (2, 3)]),
            "activation": _ACTIVATION,
            "padding": _PADDING,
            "strides": st.sampled_from([1, 2]),
        },
    ),
    "DepthwiseConv2D": (
        _rank(3, least=3),
        {"kernel_size": st.just(3), "padding": _PADDING, "depth_multiplier": st.sampled_from([1, 2])},
    ),
    "SeparableConv2D": (_rank(3, least=3), {"filters": _FEW, "kernel_size": st.just(3), "padding": _PADDING}),
    "Conv2DTranspose": (
        _rank(3),
        {"filters": _FEW, "kernel_size": st.just(3), "padding": _PADDING, "strides": st.sampled_from([1, 2])},
    ),
    "MaxPooling2D": (_rank(3, least=2), {"padding": _PADDING}),
    "AveragePooling2D": (_rank(3, least=2), {"pool_size": st.just(2), "padding": _PADDING}),
    "GlobalAveragePooling2D": (_rank(3), {"keepdims": _FLAG}),
    "GlobalMaxPooling2D": (_rank(3), {"keepdims": _FLAG}),
    "GroupNormalization": (lambda shape: len(shape) == 3 and shape[-1] > 2, {"groups": st.just(1)}),
    "UpSampling2D": (_rank(3), {"interpolation": st.sampled_from(["nearest", "bilinear"])}),
    "ZeroPadding2D": (_rank(3), {"padding": st.sampled_from([1, ((1, 0), (0, 2))])}),
    "Cropping2D": (_rank(3, least=4), {"cropping": st.just(1)}),
    "Resizing": (
        _rank(3, least=2),
        {"height": _FEW, "width": _FEW, "interpolation": st.sampled_from(["bilinear", "nearest"])},
    ),
    "CenterCrop": (_rank(3, least=3), {"height": st.just(3), "width": st.just(2)}),
    "RandomFlip": (_rank(3), {}),
}
_MERGES = ("Add", "Subtract", "Multiply", "Average", "Maximum", "Minimum", "Concatenate")
_INPUTS = (((6,), "float32"), ((6, 4), "float32"), ((8, 7, 3), "float32"), ((6,), "int32"))
_GROWING = ("UpSampling", "ZeroPadding", "Conv1DTranspose", "Conv2DTranspose", "RepeatVector")
_MOST_VALUES = 3_000  # in one row of one tensor: the graphs stay small


@dataclass(frozen=True)
class Step:
    """One layer and the tensors it takes, by number: inputs first, then steps."""

    layer: str
    sources: tuple[int, ...]
    arguments: tuple[tuple[str, Any], ...] = ()
    inner: str = ""
    """For wrappers: the layer inside, which takes the arguments."""

    def code(self) -> str:
        """The layer as Python makes it."""
        arguments = ", ".join(f"{name}={value!r}" for name, value in self.arguments)
        return (
            f"layers.{self.layer}(layers.{self.inner}({arguments}))"
            if self.inner
            else f"layers.{self.layer}({arguments})"
        )

    def call(self) -> str:
        """The call of the layer on its tensors, which are named `t0`, `t1`, …"""
        tensors = ", ".join(f"t{index}" for index in self.sources)
        return f"({tensors})" if len(self.sources) == 1 or self.layer == "MultiHeadAttention" else f"([{tensors}])"


@dataclass(frozen=True)
class Graph:
    """A small model as data; a case of the judge."""

    inputs: tuple[tuple[tuple[int, ...], str], ...]
    steps: tuple[Step, ...]
    seed: int
    layer: str = "Functional"
    tolerance: float = 1e-4
    batches: tuple[int, ...] = (1, 3)
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def id(self) -> str:
        """A name for reports."""
        return f"graph of {len(self.steps)} layers"

    def code(self) -> str:
        """A script that makes the model, for whoever wants to see it fail."""
        lines = ["import keras", "from keras import layers", f"keras.utils.set_random_seed({self.seed})"]
        lines += [
            f"t{index} = keras.Input({shape}, dtype={dtype!r}, name='input_{index}')"
            for index, (shape, dtype) in enumerate(self.inputs)
        ]
        first = len(self.inputs)
        lines += [f"t{first + index} = {step.code()}{step.call()}" for index, step in enumerate(self.steps)]
        made = ", ".join(f"t{index}" for index in range(first))
        outputs = ", ".join(f"t{index}" for index in self.outputs())
        return "\n".join([*lines, f"model = keras.Model([{made}], [{outputs}])"])

    def outputs(self) -> list[int]:
        """The tensors that nothing takes; an input that nothing takes is an output too."""
        taken = {source for step in self.steps for source in step.sources}
        return [index for index in range(len(self.inputs) + len(self.steps)) if index not in taken]

    def build(self) -> Any:
        """The model, with every weight set."""
        import_keras("builds the graphs", "convert")
        scope: dict[str, Any] = {}
        exec(self.code(), scope)
        scatter(scope["model"], np.random.default_rng(self.seed))
        return scope["model"]

    def sample(self, rng: np.random.Generator, rows: int) -> dict[str, Array]:
        """Inputs by name; whole numbers have zeros in them, so that masks mean something."""
        return {
            f"input_{index}": (tokens(_VOCABULARY - 1) if dtype == "int32" else normal)(rng, (rows, *shape)).astype(
                dtype
            )
            for index, (shape, dtype) in enumerate(self.inputs)
        }


@st.composite
def graphs(draw: st.DrawFn, most: int = 10) -> Graph:
    """Graphs of up to `most` layers, one to three inputs, and as many outputs as are left over."""
    layers = import_keras("draws the graphs", "convert").layers
    inputs = tuple(draw(st.lists(st.sampled_from(_INPUTS), min_size=1, max_size=3)))
    shapes = [shape for shape, _ in inputs]
    steps: list[Step] = []

    def add(step: Step) -> None:
        layer = eval(step.code(), {"layers": layers})
        taken = [(None, *shapes[source]) for source in step.sources]
        several = step.layer in _MERGES
        made = layer.compute_output_shape(*([taken] if several else taken))
        shapes.append(tuple(int(size) for size in made[1:]))
        steps.append(step)

    numbers = [index for index, (_, dtype) in enumerate(inputs) if dtype == "int32"]
    for index in numbers:
        table = (("input_dim", _VOCABULARY), ("output_dim", draw(_FEW)), ("mask_zero", draw(_FLAG)))
        add(Step("Embedding", (index,), table))
    for _ in range(draw(st.integers(1, most))):
        add(draw(_steps({index: shape for index, shape in enumerate(shapes) if index not in numbers})))
    taken = {source for step in steps for source in step.sources}
    for index in range(len(inputs)):
        if index not in taken and draw(st.integers(0, 3)):  # now and then an input stays an output
            add(draw(_steps({index: shapes[index]})))
    return Graph(inputs, tuple(steps), seed=draw(st.integers(0, 99)))


@st.composite
def _steps(draw: st.DrawFn, shapes: Mapping[int, tuple[int, ...]]) -> Step:
    """One more layer on tensors of these shapes; the newest is the likeliest to be taken."""
    newest = max(shapes)
    source = draw(st.one_of(st.just(newest), st.sampled_from(sorted(shapes))))
    shape = shapes[source]
    alike = [index for index in sorted(shapes) if shapes[index] == shape]
    wide = int(np.prod(shape)) > _MOST_VALUES
    fitting = [name for name, (fits, _) in _SINGLE.items() if fits(shape) and not (wide and name.startswith(_GROWING))]
    own = [name for name in fitting if len(shape) > 1 and not _SINGLE[name][0]((3,))]
    choices = [st.sampled_from(names).flatmap(lambda name: _single(name, source)) for names in (own, fitting) if names]
    if len(alike) > 1:
        choices.append(
            st.builds(Step, st.sampled_from(_MERGES), st.permutations(alike).map(lambda order: tuple(order[:2])))
        )
    if len(shape) == 2 and shape[0] < 20:
        choices.append(
            st.sampled_from(["dense", "lstm", "gru", "attention"]).flatmap(lambda kind: _sequence(kind, source))
        )
    return draw(st.one_of(choices))


def _single(name: str, source: int) -> st.SearchStrategy[Step]:
    """One layer of the table on one tensor."""
    arguments = _SINGLE[name][1]
    return st.fixed_dictionaries(dict(arguments)).map(lambda drawn: Step(name, (source,), tuple(_sound(drawn).items())))


def _sound(arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments without those that Keras refuses together, or that leave nothing to compare."""
    if arguments.get("units") == 1 and arguments.get("activation") == "softmax":
        return {**arguments, "activation": "tanh"}
    return arguments


def _sequence(kind: str, source: int) -> st.SearchStrategy[Step]:
    """Wrappers and attention on steps of features."""
    if kind == "attention":
        return st.builds(
            lambda heads: Step("MultiHeadAttention", (source, source), (("num_heads", heads), ("key_dim", 3))), _HEADS
        )
    if kind == "dense":
        return st.builds(lambda units: Step("TimeDistributed", (source,), (("units", units),), "Dense"), _FEW)
    return st.builds(
        lambda units, whole: Step(
            "Bidirectional", (source,), (("units", units), ("return_sequences", whole)), kind.upper()
        ),
        _FEW,
        _FLAG,
    )
