"""The front door of the command line: exit codes, and one line for what the user can mend."""

import errno
import os
import sys
import warnings
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 for what the user can mend (one line on stderr, no traceback), 2 wrong usage, 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    _make_printable()
    try:
        return _run(arguments)
    except KeyboardInterrupt:  # while libraries are imported as well
        sys.stderr.write("edgepack: stopped; nothing half-written was left behind\n")
        return 130


def _run(arguments: list[str]) -> int:
    """The exit code of a command line, with whatever the user can mend told on stderr."""
    try:
        from edgepack.cli import run
    except ModuleNotFoundError as error:
        if error.name not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write("edgepack: the command line is not installed; run: pip install 'edgepack[cli]'\n")
        return 1
    from edgepack.runtime.errors import EdgepackError

    try:
        with warnings.catch_warnings():
            warnings.showwarning = _show_warning
            code = run(arguments)
        sys.stdout.flush()
        return code
    except EdgepackError as error:
        sys.stderr.write(f"edgepack: {' '.join(str(error).split())}\n")
        return 1
    except BrokenPipeError:  # `edgepack … | head`
        _drop_stdout()
        return 1
    except OSError as error:  # a name that is too long, no permission, a full disk
        if error.errno == errno.ENOSPC:
            _drop_stdout()
            sys.stderr.write("edgepack: cannot write: no space left on the device\n")
            return 1
        where = f" {error.filename}" if error.filename else ""
        sys.stderr.write(f"edgepack: the system refuses{where}: {error.strerror or error}\n")
        return 1


def _show_warning(message: Warning | str, *_: object, **__: object) -> None:
    """A warning as one line for people, without the line of code it came from."""
    sys.stderr.write(f"edgepack: warning: {message}\n")


def _make_printable() -> None:
    """Let results be printed wherever the streams lead: nowhere (closed), or to an encoding with few letters."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - for as long as we run
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")


def _drop_stdout() -> None:
    """Send what is still held for stdout nowhere: Python would try to write it once more at its end, and complain."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    sys.exit(main())
