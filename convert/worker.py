"""The process in which converters run: one of them can take a process down, and takes no one else's.

`python -m edgepack.convert.worker` reads one folder a line on stdin, carries out the order that lies there, writes
`written` beside it, and answers with one line of JSON: `{}` or `{"error": …}`.
"""

import os
import select
import sys
from pathlib import Path
from typing import Any, TextIO

import msgspec

from edgepack.convert import onnx_exporter, tflite_converter
from edgepack.convert.orders import ONNXOrder, Order, TFLiteOrder
from edgepack.quiet import import_tensorflow, quiet

_IDLE_SECONDS = 120.0  # then the memory is given back; the next request starts a new process
_CONVERTERS: dict[type, Any] = {TFLiteOrder: tflite_converter.convert, ONNXOrder: onnx_exporter.convert}


def serve(requests: TextIO, answers: TextIO) -> None:
    """Convert until `requests` ends, or nothing has been asked for a while."""
    import_tensorflow()
    while select.select([requests], [], [], _IDLE_SECONDS)[0] and (line := requests.readline()):
        answer = _answer(Path(line.strip()))
        answers.write(msgspec.json.encode(answer).decode() + "\n")
        answers.flush()


def _answer(folder: Path) -> dict[str, str]:
    with quiet() as held:
        try:
            order = msgspec.json.decode((folder / "order.json").read_bytes(), type=Order)
            (folder / "written").write_bytes(_CONVERTERS[type(order)](order, folder))
        except Exception as error:  # noqa: BLE001 - converters raise what their passes raise
            return {"error": _reason(error, held())}
    return {}


def _reason(error: Exception, log: str) -> str:
    """The converter's own reason on one line: its message, or the last error it printed."""
    text = " ".join(str(error).split())
    printed = [line for line in log.splitlines() if "error:" in line.lower()]
    return (text or (printed[-1] if printed else type(error).__name__))[:400]


def main() -> int:
    """Serve the parent; what libraries print to stdout goes to stderr."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    serve(sys.stdin, answers)
    return 0


if __name__ == "__main__":
    sys.exit(main())
