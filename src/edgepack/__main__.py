"""The front door of the command line: exit codes, and one line for what the user can mend."""

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns:
        0 done, 1 for what the user can mend (one line on stderr, no traceback), 2 wrong usage, 130 for Ctrl-C.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    try:
        from edgepack.cli import run
    except ModuleNotFoundError as error:
        if error.name not in {"cyclopts", "rich"}:
            raise
        sys.stderr.write("edgepack: the command line is not installed; run: pip install 'edgepack[cli]'\n")
        return 1
    from edgepack.runtime.errors import EdgepackError

    try:
        return run(arguments)
    except EdgepackError as error:
        sys.stderr.write(f"edgepack: {' '.join(str(error).split())}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("edgepack: stopped; nothing half-written was left behind\n")
        return 130
    except BrokenPipeError:
        return 1


if __name__ == "__main__":
    sys.exit(main())
