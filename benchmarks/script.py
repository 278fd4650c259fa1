"""What the benchmarks that are run as scripts share: results on stdout as one JSON document, or the error on stderr."""

import sys
from collections.abc import Callable, Sequence

import msgspec

from edgepack import console
from edgepack.runtime.device import this_device
from edgepack.runtime.errors import EdgepackError


def print_results(measure: Callable[[], object]) -> int:
    """Measure, and print what was found with the device it was found on; returns the exit code."""
    try:
        results = measure()
    except EdgepackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    device = this_device()
    document = {"cpu": device.cpu, "fingerprint": device.fingerprint, "results": results}
    sys.stdout.write(msgspec.json.format(msgspec.json.encode(document), indent=2).decode() + "\n")
    return 0


def show_results(measure: Callable[[], Sequence[msgspec.Struct]]) -> int:
    """Measure, and show what was found as a table, a row each; returns the exit code."""
    try:
        results = measure()
    except EdgepackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    rows = [[_cell(value) for value in msgspec.structs.asdict(one).values()] for one in results]
    columns = [field.name.replace("_", " ") for field in msgspec.structs.fields(results[0])] if results else []
    console.show_table(this_device().cpu, columns, rows)
    return 0


def _cell(value: object) -> str:
    return f"{value:,.4g}" if isinstance(value, float) else f"{value:,}" if isinstance(value, int) else str(value)
