"""What a quantizer is told beside the float32 file."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from edgepack.convert.options import Options


@dataclass(frozen=True, slots=True)
class Setting:
    """What a quantizer is told beside the float32 file."""

    options: Options = field(default_factory=Options)
    ranges: Mapping[str, tuple[float, float]] | None = None
    """The range of each tensor of the float32 file by its name; None where the precision needs none."""
    float_nodes: frozenset[str] = frozenset()
    """Operators that stay in float, named as in `parts.Part.nodes`."""
    unbounded: frozenset[str] = frozenset()
    """Tensors of the float32 file that no range holds, as `calibrate.Statistics` has them: what touches one stays in
    float, since one scale for a mask and for what it masks leaves one step for all the rest."""
