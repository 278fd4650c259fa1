"""The command `convert` as benchmarks call it: in a process of its own, and what it reports."""

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec

from edgepack.runtime.errors import ConvertError


def report_of(model: Path, output: Path, arguments: Sequence[str]) -> dict[str, Any]:
    """Convert a model; returns the report.

    Args:
        model: The Keras model.
        output: What is written.
        arguments: More of the command's.

    Raises:
        ConvertError: The command failed; the message has its own.
    """
    command = [sys.executable, "-m", "edgepack", "convert", str(model), "-o", str(output), "--json", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ConvertError(f"{model.name} was not converted: {done.stderr.strip()[-2000:]}")
    report: dict[str, Any] = msgspec.json.decode(done.stdout)
    return report
