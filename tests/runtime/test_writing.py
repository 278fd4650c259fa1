"""Writing: whatever goes wrong, the old file stays byte for byte and nothing is left beside it."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from edgepack.runtime.errors import OutputError
from edgepack.runtime.writing import check_output, replacing, write_bytes
from tests.conftest import Child

OLD = b"the old file"


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "out.bin"
    path.write_bytes(OLD)
    return path


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_is_written_whole_and_alone(tmp_path: Path) -> None:
    write_bytes(tmp_path / "new.bin", b"new")
    assert (tmp_path / "new.bin").read_bytes() == b"new"
    assert left(tmp_path) == ["new.bin"]


def test_an_old_file_is_replaced(old: Path) -> None:
    write_bytes(old, b"new")
    assert old.read_bytes() == b"new"


def test_a_file_is_readable_as_any_new_file_is(tmp_path: Path) -> None:
    (tmp_path / "plain").write_bytes(b"")
    write_bytes(tmp_path / "ours", b"")
    assert (tmp_path / "ours").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_a_folder_takes_the_place_of_an_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    (folder / "deep").mkdir(parents=True)
    (folder / "deep" / "old").write_bytes(OLD)
    with replacing(folder) as beside:
        beside.mkdir()
        (beside / "new").write_bytes(b"new")
    assert left(tmp_path) == ["pack"]
    assert left(folder) == ["new"]


def test_a_folder_that_cannot_be_replaced_stays(tmp_path: Path) -> None:
    folder = tmp_path / "pack"
    folder.mkdir()
    (folder / "old").write_bytes(OLD)
    with pytest.raises(OutputError, match="cannot write"), replacing(folder):
        pass  # nothing was made beside: the second rename fails after the old folder stepped aside
    assert left(tmp_path) == ["pack"]
    assert (folder / "old").read_bytes() == OLD


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit], ids=lambda error: error.__name__)
def test_whatever_is_raised_inside_leaves_the_old_file(old: Path, error: type[BaseException]) -> None:
    def write() -> None:
        with replacing(old) as beside:
            beside.write_bytes(b"half")
            raise error

    with pytest.raises(error):
        write()
    assert old.read_bytes() == OLD
    assert left(old.parent) == ["out.bin"]


def test_an_output_error_from_inside_keeps_its_own_words(old: Path) -> None:
    with pytest.raises(OutputError, match=r"^its own words$"), replacing(old):
        raise OutputError("its own words")


def test_ctrl_c_in_the_middle_of_writing_leaves_the_old_file(old: Path) -> None:
    code = """
import sys, time
from edgepack.runtime.writing import replacing
with replacing(sys.argv[1]) as beside, beside.open("wb") as file:
    file.write(b"half" * 10_000)
    file.flush()
    print("writing", flush=True)
    time.sleep(60)
"""
    writer = subprocess.Popen(
        [sys.executable, "-c", code, old], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    with writer:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "writing\n"
        assert len(left(old.parent)) == 2
        writer.send_signal(signal.SIGINT)
        _, errors = writer.communicate(timeout=30)
    assert "KeyboardInterrupt" in errors
    assert old.read_bytes() == OLD
    assert left(old.parent) == ["out.bin"]


_WRITE_A_MEGABYTE = """
import sys
from edgepack.runtime.errors import OutputError
from edgepack.runtime.writing import write_bytes
try:
    write_bytes(sys.argv[1], bytes(1_000_000))
except OutputError as error:
    print(error)
"""


def test_a_limit_of_the_system_leaves_the_old_file(child: Child, old: Path) -> None:
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"
    done = child(limit + _WRITE_A_MEGABYTE, old)
    assert "File too large; nothing there was changed" in done.stdout, done.stderr
    assert old.read_bytes() == OLD
    assert left(old.parent) == ["out.bin"]


def test_a_full_disk_leaves_the_old_file(tmp_path: Path) -> None:
    """On a real file system of 64 kB, mounted in a namespace of its own."""
    disk = tmp_path / "disk"
    disk.mkdir()
    script = f"""
mount -t tmpfs -o size=64k none {disk} || exit 77
printf '%s' 'the old file' > {disk}/out.bin
"$0" -c '{_WRITE_A_MEGABYTE}' {disk}/out.bin
ls -A {disk}; cat {disk}/out.bin
"""
    if shutil.which("unshare") is None:
        pytest.skip("this system has no unshare")
    done = subprocess.run(
        ["unshare", "-m", "sh", "-c", script, sys.executable], capture_output=True, text=True, check=False, timeout=60
    )
    if done.returncode == 77 or "unshare" in done.stderr:
        pytest.skip("no right to mount here")
    message, *rest = done.stdout.splitlines()
    assert message == f"cannot write {disk}/out.bin: No space left on device; nothing there was changed"
    assert rest == ["out.bin", "the old file"]


@pytest.mark.parametrize("name", ["new.bin", "deep/new.bin"], ids=["under-a-file", "deep-under-a-file"])
def test_a_file_in_place_of_the_folder_is_said_at_once(old: Path, name: str) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        check_output(old / name)
    with pytest.raises(OutputError, match=r"cannot write .*; nothing there was changed"):
        write_bytes(old / name, b"new")
    assert old.read_bytes() == OLD


def test_a_missing_folder_is_said_before_any_work(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match=r"there is no folder .*missing; create it first"):
        check_output(tmp_path / "missing" / "out.bin")
    assert left(tmp_path) == []


def test_a_folder_of_the_kernel_that_takes_no_files_is_said_before_any_work() -> None:
    if not Path("/proc/self").exists():
        pytest.skip("this system has no /proc")
    with pytest.raises(OutputError, match=r"cannot write /proc/self/out\.bin"):
        check_output("/proc/self/out.bin")


def test_what_exists_is_not_replaced_unasked(old: Path) -> None:
    with pytest.raises(OutputError, match=r"out\.bin exists already; pass --force \(force=True\) to replace it"):
        check_output(old)


def test_force_allows_to_replace(old: Path) -> None:
    assert check_output(str(old), force=True) == old
    assert old.read_bytes() == OLD


def test_checking_leaves_nothing_behind(tmp_path: Path) -> None:
    assert check_output(tmp_path / "out.bin") == tmp_path / "out.bin"
    assert left(tmp_path) == []


def test_a_link_is_replaced_not_followed(old: Path, tmp_path: Path) -> None:
    link = tmp_path / "link"
    os.symlink(old, link)
    write_bytes(link, b"new")
    assert old.read_bytes() == OLD
    assert not link.is_symlink()


def test_a_folder_is_never_replaced_by_a_file(tmp_path: Path) -> None:
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.txt").write_text("years of work")
    with pytest.raises(OutputError, match="a folder has that name"):
        check_output(tmp_path / "thesis", force=True)
    with pytest.raises(OutputError, match="a folder has that name"):
        write_bytes(tmp_path / "thesis", b"report")
    assert (tmp_path / "thesis" / "chapter.txt").read_text() == "years of work"
