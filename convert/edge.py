"""A value at the edge of a model, on its way through steps: what it is made of, and what one sample looks like."""

from dataclasses import dataclass, replace
from typing import Any

from edgepack.runtime.errors import ConvertError
from edgepack.runtime.steps import Step

Sizes = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """A value at the model's edge: what it is made of, by which steps, and what it is for one sample."""

    raw: tuple[str, ...]
    steps: tuple[Step, ...]
    shape: Sizes
    dtype: str

    @property
    def is_lifted(self) -> bool:
        """Whether any layer has become steps already."""
        return len(self.steps) > 1

    @property
    def grows(self) -> bool:
        """Whether a row is as long as the longest of its batch."""
        return self.steps[-1] == Step("pad", {"length": None})

    def then(self, name: str, options: dict[str, Any], shape: Sizes | None = None, dtype: str = "") -> "Edge":
        """The value after one more step."""
        return replace(
            self, steps=(*self.steps, Step(name, options)), shape=self.shape if shape is None else shape,
            dtype=dtype or self.dtype,
        )  # fmt: skip


def raw_edge(name: str, shape: Sizes, dtype: str) -> Edge:
    """A raw sample of input `name`."""
    return Edge((name,), (Step("take", {"name": name, "shape": list(shape), "dtype": dtype}),), shape, dtype)


def encoded_edge(edge: Edge, mode: str, depth: int, dtype: str, weights: list[float] | None = None) -> Edge:
    """Category numbers as vectors; refuses what Keras does not do sample by sample."""
    if edge.grows:
        raise ConvertError(
            f"{mode} counts the padding, and that depends on the longest text of a batch: give output_sequence_length"
        )
    if mode == "one_hot":
        if edge.shape[-1:] == (None,):
            raise ConvertError("one_hot needs a number of values that is fixed: give the input a shape without None")
        kept = edge.shape[:-1] if edge.shape[-1:] == (1,) else edge.shape
    else:
        if len(edge.shape) != 1:
            raise ConvertError(
                f"{mode} on samples of shape {edge.shape} mixes samples or axes in Keras itself: use a shape of (n,)"
            )
        kept = ()
    options: dict[str, Any] = {"mode": mode, "depth": depth, "dtype": dtype}
    if weights is not None:
        options["weights"] = weights
    return edge.then("encode", options, (*kept, depth), dtype)
