"""The examples run as they stand, each in a process of its own."""

import subprocess
import sys
from pathlib import Path

from tests.client.test_answers import PIXELS, png_file

EXAMPLES = Path(__file__).parents[2] / "examples"


def run(name: str, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, EXAMPLES / name, *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def test_files_are_asked_for_together(url: str, tmp_path: Path) -> None:
    files = [tmp_path / f"{number}.png" for number in range(3)]
    for file in files:
        file.write_bytes(png_file(PIXELS))
    done = run("serve_client.py", url, "tiles", *files)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.count("%)") == 9  # three labels for each
    assert all(f"{file}: " in done.stdout for file in files)


def test_an_error_is_one_line(url: str) -> None:
    done = run("serve_client.py", url, "nothing", "a.png")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert "nothing" in done.stderr


def test_the_client_of_triton_is_answered(url: str) -> None:
    done = run("tritonclient_http.py", "tiles", url.removeprefix("http://"))
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("scores [[")
