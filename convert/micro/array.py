"""What was written for a microcontroller, and what was measured before: a value, and lines to read."""

import msgspec
import numpy as np

from edgepack.runtime.compare import Parity
from edgepack.runtime.tensor import Array, describe


class Port(msgspec.Struct, frozen=True):
    """An input or an output as the firmware meets it."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    scale: float | None = None
    """A real number is `scale * (stored - zero_point)`; None where numbers are stored as they are."""
    zero_point: int = 0
    step: float | None = None
    """What one step of the 8 or 16 bits is worth, in float outputs of an int8 net too; None where there are none."""

    def stored(self, real: Array) -> Array:
        """Real numbers as the file stores them, `(rows, …)`."""
        if self.scale is None:
            return np.asarray(real, self.dtype)
        limits = np.iinfo(self.dtype)
        steps = np.round(np.asarray(real, np.float64) / self.scale) + self.zero_point
        kept: Array = np.clip(steps, limits.min, limits.max).astype(self.dtype)
        return kept

    def real(self, stored: Array) -> Array:
        """The real numbers that stored ones stand for."""
        if self.scale is None:
            return stored
        return ((stored.astype(np.float64) - self.zero_point) * self.scale).astype(np.float32)

    def __str__(self) -> str:
        """Its name, type, shape and meaning, for a comment."""
        offset = f"(stored {'-+'[self.zero_point < 0]} {abs(self.zero_point)})" if self.zero_point else "stored"
        rule = f", real = {self.scale:.9g} * {offset}" if self.scale is not None else ""
        return f"{self.name!a}: {describe(self.shape, self.dtype)}{rule}"


class Agreement(msgspec.Struct, frozen=True):
    """How far TFLite-Micro's outputs lie from those of another interpreter of the same file."""

    samples: int
    """How many were compared, each counted once though a file may take several at a time."""
    equal: float
    """Share of the elements that are the same to the last bit."""
    steps: float | None
    """The largest difference, in steps of the output's own 8 or 16 bits; None where an output has none."""
    snr_db: float

    def __str__(self) -> str:
        """One line."""
        if self.equal == 1:
            return f"the same bits as LiteRT on {self.samples:,} samples"
        most = "" if self.steps is None else f", at most {self.steps:.3g} steps apart"
        return f"{self.equal:.2%} of the elements as in LiteRT on {self.samples:,} samples{most}, {self.snr_db:.0f} dB"


class CArray(msgspec.Struct, frozen=True):
    """The pair of files, and what firmware must know of it."""

    header: str
    source: str
    name: str
    """What every C++ name in them begins with."""
    size_bytes: int
    """Of the model: flash."""
    arena_bytes: int
    """Of the arena: RAM. The smallest that works, the reserve, and what rounding to 16 adds."""
    smallest_arena_bytes: int
    """The smallest arena that the interpreter of `tflite-micro` runs the model in, on a 64-bit machine."""
    reserve_bytes: int
    """For what CMSIS-NN's kernels need and the reference kernels do not."""
    operators: tuple[str, ...]
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    litert: Agreement
    keras: Parity | None
    """How close it is to the Keras model; None where its answers are not at hand."""
    samples: str
    """What it was run on."""

    def lines(self) -> tuple[str, ...]:
        """What to print."""
        return (
            f"flash {self.size_bytes:,} bytes; arena {self.arena_bytes:,} bytes ({self.smallest_arena_bytes:,} "
            f"measured on a 64-bit machine, {self.reserve_bytes:,} for the kernels of CMSIS-NN)",
            f"operators: {', '.join(self.operators)}",
            f"TFLite-Micro gives {self.litert} ({self.samples})",
            *([f"SNR to Keras {self.keras.snr_db:.1f} dB, cosine {self.keras.cosine:.6f}"] if self.keras else []),
        )
