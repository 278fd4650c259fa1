"""What a case is: a small Keras model, made when it is asked for, and the inputs it is judged on."""

import zlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from edgepack.quiet import import_keras

Array = np.ndarray[Any, Any]
Draw = Callable[[np.random.Generator, tuple[int, ...]], Array]
Recipe = Callable[..., Any]
"""Called with the module `keras.layers` and one Keras tensor for each input; gives the outputs."""

HALF_TOLERANCE = (
    1e-2  # float16 keeps 11 bits (1e-3 a step); Keras itself differs by a few steps between two batch sizes
)


def normal(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Floats around 0."""
    return rng.normal(size=shape)


def between(low: float, high: float) -> Draw:
    """Floats from `low` to `high`."""
    return lambda rng, shape: rng.uniform(low, high, shape)


def whole(low: int, high: int) -> Draw:
    """Whole numbers from `low` to `high`, both included."""
    return lambda rng, shape: rng.integers(low, high + 1, shape)


def words(*choices: str) -> Draw:
    """One of the texts in each place."""
    return lambda rng, shape: rng.choice(np.array(choices, dtype=object), shape)


def tokens(high: int) -> Draw:
    """Whole numbers from 1 to `high`; in each row some are 0: behind, before, in between, or none."""
    return lambda rng, shape: rng.integers(1, high + 1, shape) * kept_steps(rng, shape[:2])


def padded(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Floats around 0 in which some steps of each row are all 0, as `Masking` takes them."""
    return rng.normal(size=shape) * kept_steps(rng, shape[:2]).reshape(*shape[:2], *[1] * (len(shape) - 2))


def mask(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Booleans with at least one True in each row of the last axis."""
    kept = rng.random(shape) < 0.6
    kept[..., 0] |= ~kept.any(axis=-1)
    return kept


def kept_steps(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Booleans `(rows, steps)`, the False ones behind, before, in between, or nowhere; at least one step is kept."""
    rows, steps = shape
    kept = np.ones(shape, bool)
    for row in range(rows):
        kind, length = rng.integers(0, 4), rng.integers(1, steps + 1)
        if kind == 0:
            kept[row, length:] = False
        elif kind == 1:
            kept[row, : steps - length] = False
        elif kind == 2:
            kept[row] = rng.random(steps) < 0.6
            kept[row, rng.integers(0, steps)] = True
    return kept


@dataclass(frozen=True)
class Tensor:
    """One input without its batch axis, and how its values are drawn; None in `shape` is a free axis."""

    shape: tuple[int | None, ...]
    dtype: str = "float32"
    draw: Draw | None = None
    name: str | None = None

    def values(self, rng: np.random.Generator, rows: int, free: int) -> Array:
        """Values for `rows` rows, free axes `free` long."""
        shape = (rows, *(free if size is None else size for size in self.shape))
        kind = np.dtype(object if self.dtype == "string" else self.dtype).kind
        draw = self.draw or {"f": normal, "i": whole(0, 9), "u": whole(0, 255), "b": mask, "O": words("a", "b")}[kind]
        return draw(rng, shape).astype(object if kind == "O" else self.dtype)


@dataclass(frozen=True)
class Case:
    """One configuration of one layer."""

    layer: str
    """Its public name in `keras.layers`."""
    config: str
    inputs: tuple[Tensor, ...]
    recipe: Recipe
    tolerance: float = 1e-4
    batches: tuple[int, ...] = (1, 3)
    policy: str = "float32"
    fixed_batch: int | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    """More arguments of `convert_model`."""

    @property
    def id(self) -> str:
        """The name in reports, `LAYER-CONFIG`."""
        return f"{self.layer}-{self.config}"

    def build(self) -> Any:
        """The model: the same weights each time, none of them left at 0 or 1."""
        keras = import_keras("builds the cases", "convert")
        seed = zlib.crc32(self.id.encode())
        keras.utils.set_random_seed(seed)
        before = keras.config.dtype_policy()
        keras.config.set_dtype_policy(self.policy)
        try:
            tensors = [
                keras.Input(one.shape, batch_size=self.fixed_batch, dtype=one.dtype, name=one.name or f"input_{index}")
                for index, one in enumerate(self.inputs)
            ]
            model = keras.Model(tensors, self.recipe(keras.layers, *tensors), name="case")
        finally:
            keras.config.set_dtype_policy(before)
        scatter(model, np.random.default_rng(seed))
        return model

    def sample(self, rng: np.random.Generator, rows: int) -> dict[str, Array]:
        """Inputs by name."""
        free = int(rng.integers(6, 11))
        return {one.name or f"input_{index}": one.values(rng, rows, free) for index, one in enumerate(self.inputs)}


def scatter(model: Any, rng: np.random.Generator) -> None:
    """Give every weight that begins as a constant (biases, moments, scales) values of its own."""
    for variable in model.weights:
        if variable.dtype.startswith(("int", "uint", "bool", "string")) or not _is_flat(variable):
            continue
        positive = any(word in variable.path.rsplit("/", 1)[-1] for word in ("variance", "gamma", "scale"))
        values = rng.uniform(0.5, 1.5, variable.shape) if positive else rng.normal(size=variable.shape) * 0.3
        variable.assign(values.astype(str(variable.dtype)) if variable.dtype != "bfloat16" else values)


def _is_flat(variable: Any) -> bool:
    """Whether all values are one: left as the initializer of a bias or a scale made them."""
    values = np.asarray(variable).astype(np.float64)
    return bool((values == values.flat[0]).all()) or variable.path.endswith("bias")


def configs(
    layer: str, inputs: Tensor | tuple[Tensor, ...], table: Mapping[str, Mapping[str, Any]], **more: Any
) -> list[Case]:
    """One case for each line of a table from the configuration's name to the layer's arguments."""
    return [
        one(layer, config, inputs, lambda layers, *x, a=arguments: getattr(layers, layer)(**a)(_bare(x)), **more)
        for config, arguments in table.items()
    ]


def one(layer: str, config: str, inputs: Tensor | tuple[Tensor, ...], recipe: Recipe, **more: Any) -> Case:
    """One case."""
    if str(more.get("policy", "")).endswith("float16"):
        more.setdefault("tolerance", HALF_TOLERANCE)
    return Case(layer, config, inputs if isinstance(inputs, tuple) else (inputs,), recipe, **more)


def _bare(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else list(values)
