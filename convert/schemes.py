"""A scheme: one precision with its options, which is what one file is written in."""

from dataclasses import dataclass, field

from edgepack.convert.options import Options
from edgepack.convert.precisions import Precision


@dataclass(frozen=True, slots=True)
class Scheme:
    """How one file is written. It keeps those options that mean something to its precision."""

    precision: Precision
    options: Options = field(default_factory=Options)

    def __post_init__(self) -> None:
        object.__setattr__(self, "options", self.precision.taken(self.options))

    def variant(self, target: str, *, full: bool = False) -> str:
        """The name of its file, `<format>-<precision>`; with `full`, the options that are not the default behind it."""
        label = self.options.label() if full else ""
        return "-".join(filter(None, (target, self.precision.name, label)))
