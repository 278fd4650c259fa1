"""The whole way on real digits: train, convert to every precision, verify, run, measure. `make demo` runs it."""

import shlex
import subprocess
import sys
import time
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_WORK = _HERE.parent / "build" / "demo"

_COMMANDS = (
    "train digits -o digits.keras --force",
    "convert digits.keras -o digits.edgepack --precision all --calibration digits.calibration.npz "
    "--evaluation digits.evaluation.npz --max-drop 0.005 --force",
    "verify digits.edgepack",
    f"run digits.edgepack {' '.join(str(_HERE / 'digits' / f'{name}.png') for name in ('three', 'seven', 'nine'))}",
    "bench digits.edgepack --rounds 3 --html bench.html --output bench.json --force",
)


def main() -> int:
    """Run each command as a person would type it; stop at the first that fails."""
    _WORK.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    for command in _COMMANDS:
        print(f"\n$ edgepack {command}", flush=True)
        code = subprocess.run(
            [sys.executable, "-m", "edgepack", *shlex.split(command)], cwd=_WORK, check=False
        ).returncode
        if code:
            return code
    print(f"\nDone in {time.monotonic() - start:.0f} s.")
    for what, name in (
        ("pack", "digits.edgepack"),
        ("conversion report", "digits.report.html"),
        ("benchmark", "bench.html"),
    ):
        print(f"{what}: {_WORK / name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
