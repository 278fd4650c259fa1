"""Raw samples drawn at random, where none were given: text and numbers made from what the steps know."""

from collections.abc import Iterator
from typing import Any

import numpy as np

from edgepack.convert.edge import Edge
from edgepack.convert.lift import Lifted
from edgepack.convert.samples import Samples
from edgepack.runtime.tensor import Array, TensorSpec

_WORDS = ("", "edge", "Pack", "été", "差评", "😀", "a,b", "x y", "0")
_FREE_AXIS = 16


def random_raw(lifted: Lifted, count: int, seed: int = 0) -> Samples:
    """`count` raw samples for a model whose edge was lifted, as the tensors the rest takes; raw ones come along."""
    rng = np.random.default_rng(seed)
    raw = {spec.name: _draw(spec, count, lifted, rng) for spec in lifted.original.inputs}
    return lifted.tensors(Samples(raw, {}, f"{count} random samples (none were given)"))


def _draw(spec: TensorSpec, count: int, lifted: Lifted, rng: np.random.Generator) -> Array:
    """Values for one raw input: tokens its vocabulary has, and some that it lacks."""
    shape = (count, *(_FREE_AXIS if size is None else size for size in spec.shape[1:]))
    steps = [step for edge in lifted.edges.values() for step in _chain_of(edge, spec.name)]
    lookups = [options for name, options in steps if name == "lookup"]
    tokens = [token for options in lookups for token in options["vocabulary"]]
    closed = any(options["num_oov_indices"] == 0 for options in lookups)
    if spec.dtype == "string":
        pool = tokens if closed else [*tokens, *_WORDS]
        cut = next((str(options["split"]) for name, options in steps if name == "tokenize"), "")
        return _texts(pool, shape, {"whitespace": " ", "character": ""}.get(cut), rng)
    if tokens:
        pool = tokens if closed else [*tokens, max(tokens) + 1]
        return np.asarray(rng.choice(np.asarray(pool), shape)).astype(spec.numpy_dtype)
    edges = [edge for name, options in steps if name == "discretize" for edge in options["boundaries"]]
    low, high = (min(edges) - 1, max(edges) + 1) if edges else (0.0, 1.0)
    if spec.numpy_dtype.kind == "f":
        return (rng.random(shape) * (high - low) + low).astype(spec.numpy_dtype)
    hashed = any(name in {"hash", "cross"} for name, _ in steps)
    return rng.integers(int(low), 1000 if hashed else int(high) + 1, shape).astype(spec.numpy_dtype)


def _texts(pool: list[str], shape: tuple[int, ...], between: str | None, rng: np.random.Generator) -> Array:
    """Single tokens, or texts of up to 30 of them."""
    texts = np.empty(shape, object)
    for place in np.ndindex(shape):
        size = 1 if between is None else int(rng.integers(0, 30))
        texts[place] = (between or "").join(pool[int(index)] for index in rng.integers(0, len(pool), size))
    return texts


def _chain_of(edge: Edge, name: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The steps that a raw value goes through on its way to an edge."""
    if name not in edge.raw:
        return
    for step in edge.steps:
        if step.step == "gather":
            for part in step.options["of"]:
                if part["name"] == name:
                    yield from ((inner["step"], inner["options"]) for inner in part["steps"])
        else:
            yield step.step, step.options
