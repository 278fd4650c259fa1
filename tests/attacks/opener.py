"""Open and run hostile files: `python opener.py ENGINE FILE …` prints what became of each, as JSON.

An engine is native code: what it does to a file that it should refuse may end the process. So the files are opened in
a child; where it ends early, that is the outcome of the file it was at, and another child goes on with the next.
"""

import json
import os
import signal
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt

import edgepack
from edgepack.runtime.engines import own_cpu
from edgepack.runtime.loading import open_way
from edgepack.runtime.tensor import TensorSpec
from edgepack.runtime.ways import Way


def sample(spec: TensorSpec) -> npt.NDArray[np.generic]:
    return np.ones([1 if size is None else min(size, 4096) for size in spec.shape], spec.numpy_dtype)


def outcome(path: str, engine: str) -> str:
    """`answered`, `refused`, or the words of an error that must not be."""
    try:
        # As the process does in which files that nobody proved are tried: this one is such a process.
        with open_way(Path(path), Way(Path(path).name, engine, own_cpu(engine))) as session:
            session.run({spec.name: sample(spec) for spec in session.inputs})
    except edgepack.EdgepackError:
        return "refused"
    except Exception as error:  # noqa: BLE001 - what it is, is the finding
        return f"{type(error).__name__}: {error}"[:300]
    return "answered"


def outcomes_of_one_child(paths: list[str], engine: str) -> list[str]:
    """What became of the files up to the one that ended the child, if any."""
    reading, writing = os.pipe()
    process = os.fork()
    if process == 0:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 1)
        os.dup2(nowhere, 2)
        for path in paths:
            signal.alarm(20)
            os.write(writing, json.dumps(outcome(path, engine)).encode() + b"\n")
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        found = [json.loads(line) for line in pipe]
    _, status = os.waitpid(process, 0)
    code = os.waitstatus_to_exitcode(status)
    return found if code == 0 else [*found, f"ended by signal {-code}"]


def main(engine: str, *paths: str) -> None:
    found: list[str] = []
    while len(found) < len(paths):
        found += outcomes_of_one_child(list(paths[len(found) :]), engine)
    sys.stdout.write(json.dumps(dict(zip(paths, found, strict=True))))


if __name__ == "__main__":
    main(*sys.argv[1:])
