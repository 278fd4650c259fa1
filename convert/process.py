"""The process in which converters run, from outside: started, asked for one file, ended."""

import atexit
import contextlib
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import msgspec

from edgepack.convert.orders import Order
from edgepack.runtime.errors import ConvertError

_ROOMY_BYTES = 4 << 20  # of a file: converters keep many times as much, and never give it back


class Converter:
    """A process that runs converters; one that crashes is a reason, and the next file gets a new process.

    Args:
        command: What is started; it speaks as `convert.worker` does.
    """

    def __init__(self, command: Sequence[str] = (sys.executable, "-m", "edgepack.convert.worker")) -> None:
        self._command = command
        self._process: subprocess.Popen[str] | None = None
        self._largest = 0

    def start(self) -> None:
        """Begin to import TensorFlow there, while this process does something else; nothing where it runs already."""
        if self._process is not None and self._process.poll() is None:
            return
        self.close()
        self._process = subprocess.Popen(
            self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, order: Order, files: Mapping[str, bytes]) -> bytes:
        """Have one file written.

        Args:
            order: What to write.
            files: What the converter reads, by file name.

        Returns:
            The file.

        Raises:
            ConvertError: The converter refuses the model, or crashed on it.
        """
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            for file_name, data in files.items():
                (folder / file_name).write_bytes(data)
            (folder / "order.json").write_bytes(msgspec.json.encode(order))
            self._convert(folder, order.converter)
            written = (folder / "written").read_bytes()
        self._largest = max(self._largest, len(written))
        return written

    def give_back(self) -> None:
        """End the process where it holds the memory that a large model took; a small one is worth keeping it."""
        if self._largest > _ROOMY_BYTES:
            self.close()

    def _convert(self, folder: Path, converter: str) -> None:
        # A process that had idled ends by itself, and may be about to when it is asked: then the next one is.
        line, code = self._say(folder)
        if not line and code == 0:
            line, code = self._say(folder)
        if not line:
            how = signal.strsignal(-code) if code < 0 else f"exit code {code}"
            raise ConvertError(f"the {converter} crashed on the model ({how}); the other format or precision may do")
        if reason := msgspec.json.decode(line).get("error"):
            raise ConvertError(f"the {converter} refuses the model: {reason}")

    def _say(self, folder: Path) -> tuple[str, int]:
        """Name a folder to the process; returns its answer, or an empty one and the code it ended with."""
        self.start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        line = ""
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(f"{folder}\n")
            process.stdin.flush()
            line = process.stdout.readline()
        if line:
            return line, 0
        code = process.wait()
        self.close()
        return "", code

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None
        self._largest = 0


_shared = Converter()
atexit.register(_shared.close)


@contextlib.contextmanager
def converter() -> Iterator[Converter]:
    """The converters' process; it stays for the next model, and ends with this process or when it idles.

    Ctrl-C ends it at once: what it was doing is wanted by nobody.
    """
    try:
        yield _shared
    except KeyboardInterrupt:
        _shared.close()
        raise
