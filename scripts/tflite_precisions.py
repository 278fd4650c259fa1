"""What each precision comes to as TFLite, from the float32 files of packs.

`python scripts/tflite_precisions.py PACK…` prints latency, size, SNR against Keras and what XNNPACK leaves.
Ranges come from the pack's own golden samples, which are few: figures of fidelity are for comparing precisions.
"""

import sys
from collections import Counter
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from edgepack.convert import litert_quantizer, tflite
from edgepack.convert.calibrate import Stream, observe
from edgepack.convert.precisions import PRECISIONS
from edgepack.convert.precisions.base import Setting
from edgepack.convert.prove import open_here
from edgepack.convert.samples import Samples
from edgepack.runtime.compare import compare
from edgepack.runtime.errors import ConvertError
from edgepack.runtime.pack import Pack
from edgepack.runtime.session import Session
from edgepack.runtime.tensor import Array
from edgepack.runtime.timing import measure_interleaved

_ROUNDS, _LAPS = 20, 10
_INT4 = "weight_int4 unfolded"  # what the quantizer calls weight-only, which edgepack does not write


def main(arguments: Sequence[str]) -> int:
    """Print a table for each pack."""
    for path in arguments:
        print(Path(path).stem)
        for line in _table(Path(path)):
            print(f"  {line}")
    return 0


def _table(path: Path) -> list[str]:
    with Pack(path) as pack:
        data = pack.read(pack.variant("tflite-float32").file)
        inputs, wanted = pack.golden(pack.manifest.goldens[0])
    files, lines = _written(data, inputs)
    opened = {name: open_here("tflite", file) for name, file in files.items()}
    sessions = {name: Session(engine, name) for name, engine in opened.items()}
    row = {name: array[:1] for name, array in inputs.items()}
    calls = [partial(session.run, row) for session in sessions.values()]
    timings = measure_interleaved(calls, rounds=_ROUNDS, warmup=1, repeat=_LAPS)
    for (name, session), timing in zip(sessions.items(), timings, strict=True):
        found = compare(wanted, session.run(inputs))
        snr = "-" if found.snr_db is None else f"{found.snr_db:.1f}"
        left = dict(Counter(getattr(opened[name], "undelegated", ())))
        lines.append(
            f"{name:20} {timing.p50_us:9.1f} µs {timing.p50_us / timings[0].p50_us:6.2f}  "
            f"size {len(files[name]) / len(data):.2f}  SNR {snr} dB  {left or ''}"
        )
    return lines


def _written(data: bytes, inputs: dict[str, Array]) -> tuple[dict[str, bytes], list[str]]:
    """The file in each precision, and a line for each that is refused."""
    ranges = observe("tflite", data, Stream.of(Samples(inputs, {}, "goldens")), 1).ranges("minmax")
    files, refused = {"float32": data}, []
    for name, precision in PRECISIONS.items():
        if precision.tflite is None:
            continue
        try:
            files[name] = tflite.packed(precision.tflite(data, Setting(ranges=ranges)))
        except ConvertError as error:
            refused.append(f"{name:20} {error}")
    files[_INT4] = tflite.packed(litert_quantizer.quantize(data, litert_quantizer.rule("weight_only", 4)))
    return files, refused


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
