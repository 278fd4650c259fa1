"""What native libraries print does not reach stdout while the runtime loads."""

import sys

import pytest

from tests.conftest import Child

_PRINT = """
import ctypes, os, sys
from edgepack.runtime.chatter import stdout_to_stderr
library = ctypes.CDLL(None)
print("before")
with stdout_to_stderr():
    library.printf(b"by the C library\\n")
    os.write(1, b"by the system\\n")
    print("by Python")
print("after")
library.printf(b"after, by the C library\\n")
library.fflush(None)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="the C library is found by another name there")
def test_whatever_prints_meanwhile_prints_to_stderr(child: Child) -> None:
    done = child(_PRINT)
    assert sorted(done.stdout.splitlines()) == ["after", "after, by the C library", "before"]
    assert sorted(done.stderr.splitlines()) == ["by Python", "by the C library", "by the system"]


def test_an_error_leaves_stdout_as_it_was(child: Child) -> None:
    code = """
from edgepack.runtime.chatter import stdout_to_stderr
try:
    with stdout_to_stderr(): raise ValueError
except ValueError:
    print("caught")
"""
    done = child(code)
    assert (done.stdout, done.stderr) == ("caught\n", "")


@pytest.mark.parametrize("closed", [1, 2], ids=["stdout", "stderr"])
def test_a_process_without_one_of_them_goes_on(child: Child, closed: int) -> None:
    code = f"""
import os
from edgepack.runtime.chatter import stdout_to_stderr
os.close({closed})
with stdout_to_stderr(): pass
os.write({3 - closed}, b"went on")
os._exit(0)
"""
    done = child(code)
    assert "went on" in (done.stdout, done.stderr)


def test_threads_do_not_lose_stdout_to_one_another(child: Child) -> None:
    code = """
import os, threading, time
from edgepack.runtime.chatter import stdout_to_stderr
def load(number):
    for _ in range(20):
        with stdout_to_stderr():
            time.sleep(0.001)
            os.write(1, b"loading\\n")
threads = [threading.Thread(target=load, args=(number,)) for number in range(4)]
for thread in threads: thread.start()
for thread in threads: thread.join()
os.write(1, b"result\\n")
"""
    done = child(code)
    assert (done.stdout, done.stderr.count("loading")) == ("result\n", 80)
