"""What the benchmarks that are run as scripts share: results on stdout as one JSON document, or the error on stderr."""

import sys
from collections.abc import Callable

import msgspec

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
