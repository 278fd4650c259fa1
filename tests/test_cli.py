"""The command line: exit codes, one line for what the user can mend, JSON and nothing else, and a quick --help."""

import json
import os
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.runtime import engines
from edgepack.runtime.pack import reference
from tests.conftest import Child, Run
from tests.zoo import packs
from tests.zoo.packs import ZOO, outputs


def edgepack_command(*arguments: object, **options: Any) -> "subprocess.CompletedProcess[str]":
    """Run a command line as a user does, in a process of its own."""
    options = {"capture_output": True, "text": True, "timeout": 120} | options
    return subprocess.run([sys.executable, "-m", "edgepack", *map(str, arguments)], check=False, **options)


@pytest.fixture
def tensors(tmp_path: Path) -> Path:
    path = tmp_path / "x.npy"
    np.save(path, outputs("mlp")[0]["x"])
    return path


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    from PIL import Image

    path = tmp_path / "photo.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (8, 8)).astype(np.uint8)).save(path)
    return path


# usage


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"]], ids=["nothing", "--help", "-h"])
def test_help_lists_the_commands(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert (done.code, done.err) == (0, "")
    for command in ("convert", "run", "verify", "inspect", "devices", "train", "bench"):
        assert command in done.out


def test_the_version_is_that_of_the_package(run: Run) -> None:
    assert run("--version") == (0, f"{edgepack.__version__}\n", "")


@pytest.mark.parametrize("command", ["run", "inspect", "verify", "devices"])
def test_every_command_has_help(run: Run, command: str) -> None:
    done = run(command, "--help")
    assert (done.code, done.err) == (0, "")
    assert "--json" in done.out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verfy"], "edgepack: unknown command 'verfy'; did you mean 'verify'?"),
        (["xyzzy"], "edgepack: unknown command 'xyzzy' (known: "),
        (["--versoin"], "edgepack: unknown option '--versoin'; did you mean '--version'?"),
        ([""], "edgepack: unknown command ''"),
        (["run"], 'edgepack: Command "run" parameter MODEL requires an argument.'),
        (["devices", "--jsn"], "edgepack: Unknown option: --jsn. Did you mean --json?"),
        (["devices", "extra"], "edgepack: Unused Tokens: ['extra']"),
        (["run", "m", "s", "--threads", "many"], "edgepack: Invalid value for --threads: unable to convert"),
    ],
    ids=["near", "far", "option", "empty", "argument-missing", "near-option", "too-many", "no-number"],
)
def test_wrong_usage_is_exit_2_with_what_would_be_right(run: Run, arguments: list[str], message: str) -> None:
    done = run(*arguments)
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith(message)
    assert done.err.splitlines()[1:] == ["edgepack: see edgepack --help"]


# what the user can mend


def broken_zip(folder: Path) -> Path:
    (folder / "x.npz").write_bytes(b"PK\3\4 cut short")
    return folder / "x.npz"


def objects(folder: Path) -> Path:
    np.savez(folder / "o.npz", x=np.array([{}], dtype=object))
    return folder / "o.npz"


def text(folder: Path) -> Path:
    (folder / "t.npy").write_text("hello")
    return folder / "t.npy"


def wrong_shape(folder: Path) -> Path:
    np.save(folder / "s.npy", np.zeros((1, 5), np.float32))
    return folder / "s.npy"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["run", "nothing.edgepack", "x"], "no model at nothing.edgepack; check the path"),
        (["run", ZOO / "make.py", "x"], "is no file that edgepack runs"),
        (["run", ZOO / "mlp.onnx"], "no sample to run; give one or more"),
        (["run", ZOO / "mlp.onnx", "x.png"], "this model has no steps to read x.png with"),
        (["run", ZOO / "mlp.onnx", "x.npy"], "no sample at x.npy; check the path"),
        (["run", ZOO / "mlp.onnx", broken_zip], "is not a .npz file of plain arrays"),
        (["run", ZOO / "mlp.onnx", objects], "is not a .npz file of plain arrays, or is damaged"),
        (["run", ZOO / "mlp.onnx", text], "is not a .npy file of plain arrays"),
        (["run", ZOO / "mlp.tflite", wrong_shape], "has shape (1, 5); the model takes (any, 4)"),
        (["run", ZOO / "mlp.onnx", "x.npy", "--engine", "trt"], "unknown engine 'trt' (known: onnx, litert, openvino)"),
        (["run", ZOO / "mlp.onnx", "x.npy", "--provider", "gpu"], "is not available here: "),
        (["run", ZOO / "mlp.onnx", "x.npy", "--provider", "cpu,tpu"], "unknown provider 'tpu'"),
        (["run", ZOO / "mlp.onnx", "x.npy", "--threads", "0"], "threads is 0; it takes 1 to"),
        (["inspect", "nothing.onnx"], "no model at nothing.onnx"),
        (["inspect", ZOO], "has no manifest.json; it is not an edgepack pack"),
        (["verify", "nothing.edgepack"], "no pack at nothing.edgepack"),
        (["verify", ZOO / "mlp.onnx"], "is not a pack; a bare file carries no digests"),
        (["verify", "x" * 5000], "no pack at xxx"),
    ],
    ids=lambda value: (
        " ".join(getattr(one, "__name__", str(one)) for one in value).replace(str(ZOO), "zoo")[:50]
        if isinstance(value, list)
        else ""
    ),
)
def test_what_the_user_can_mend_is_exit_1_and_one_line(
    run: Run, tmp_path: Path, arguments: list[Any], message: str
) -> None:
    done = run(*(argument(tmp_path) if callable(argument) else argument for argument in arguments))
    assert (done.code, done.out) == (1, "")
    lines = [line for line in done.err.splitlines() if not line.startswith("INFO: Created TensorFlow Lite XNNPACK")]
    assert len(lines) == 1
    assert lines[0].startswith("edgepack: ")
    assert message in lines[0]


def test_a_hostile_pack_is_one_line(run: Run, tmp_path: Path, mlp_pack: Path) -> None:
    (tmp_path / "p.edgepack").write_bytes(mlp_pack.read_bytes()[:3000])
    done = run("verify", tmp_path / "p.edgepack")
    assert (done.code, done.out) == (1, "")
    assert "is cut short" in done.err.splitlines()[-1]


def test_a_user_sees_no_traceback() -> None:
    done = edgepack_command("inspect", "nothing.edgepack")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "edgepack: no pack at nothing.edgepack; check the path\n"


# run


def test_tensors_are_run_and_printed(run: Run, mlp_pack: Path, tensors: Path) -> None:
    done = run("run", mlp_pack, tensors)
    assert done.code == 0
    assert done.out.startswith(f"{tensors}: y [[")
    assert "onnx-float32 on ONNX Runtime" in done.err


def test_tensors_by_name_are_run(run: Run, tmp_path: Path, pair_pack: Path) -> None:
    given, wanted = outputs("pair")
    np.savez(tmp_path / "ab.npz", a=given["a"], b=given["b"])
    done = run("run", pair_pack, tmp_path / "ab.npz", "--json")
    assert list(json.loads(done.out)["results"][0]["result"]) == list(wanted)


def test_images_are_classified(run: Run, tiles_pack: Path, photo: Path) -> None:
    done = run("run", tiles_pack, photo, photo)
    assert done.code == 0
    assert len(done.out.splitlines()) == 2
    assert "%)" in done.out


def test_json_of_a_run_is_all_there_is_on_stdout(run: Run, tiles_pack: Path, photo: Path) -> None:
    done = run("run", tiles_pack, photo, "--json")
    found = json.loads(done.out)
    assert (found["variant"], found["provider"], found["fallbacks"]) == ("onnx-float32", "cpu", [])
    assert found["results"][0]["sample"] == str(photo)
    assert set(found["results"][0]["result"][0]) == {"label", "score"}


def test_a_variant_is_chosen(run: Run, mlp_pack: Path, tensors: Path) -> None:
    done = run("run", mlp_pack, tensors, "--variant", "tflite-float32", "--threads", "1", "--json")
    assert json.loads(done.out)["variant"] == "tflite-float32"


def test_nan_is_warned_of_and_null_in_json(tmp_path: Path) -> None:
    np.save(tmp_path / "nan.npy", np.full((1, 4), np.nan, np.float32))
    done = edgepack_command("run", ZOO / "mlp.onnx", tmp_path / "nan.npy", "--json")
    assert done.returncode == 0
    assert done.stderr.startswith("edgepack: warning: input 'x' holds NaN in 4 of 4 elements")
    assert json.loads(done.stdout)["results"][0]["result"] == {"y": [[None] * 3]}


# inspect, verify, devices


def test_a_pack_is_inspected(run: Run, mlp_pack: Path) -> None:
    done = run("inspect", mlp_pack)
    assert done.code == 0
    for part in ("mlp: 2 variants", "onnx-float32", "tflite-float32", "four measures", "scale", "red, green, blue"):
        assert part in done.out


def test_json_of_a_pack_is_its_manifest(run: Run, mlp_pack: Path) -> None:
    done = run("inspect", mlp_pack, "--json")
    assert json.loads(done.out)["format_version"] == 1
    assert done.err == ""


@pytest.mark.parametrize("name", ["mlp.onnx", "mlp.tflite"])
def test_a_bare_file_is_inspected(run: Run, name: str) -> None:
    assert f"{(ZOO / name).stat().st_size:,} bytes, opened by" in run("inspect", ZOO / name).out
    assert json.loads(run("inspect", ZOO / name, "--json").out)["inputs"][0]["name"] == "x"


def test_a_sound_pack_passes(run: Run, mlp_pack: Path) -> None:
    done = run("verify", mlp_pack)
    assert done.code == 0
    assert "4 members, every size and digest right" in done.out


def test_json_of_a_verification_is_all_there_is_on_stdout(run: Run, mlp_pack: Path) -> None:
    done = run("verify", mlp_pack, "--json")
    found = json.loads(done.out)
    assert (done.code, found["passed"], found["failures"]) == (0, True, [])


def test_a_pack_that_answers_differently_is_exit_1(run: Run, tmp_path: Path) -> None:
    manifest, files = packs.mlp()
    golden = files["golden/out_y.npy"]
    files["golden/out_y.npy"] = golden[:-12] + bytes(12)
    ref = reference("golden/out_y.npy", files["golden/out_y.npy"])
    changed = msgspec.structs.replace(manifest.goldens[0], outputs={"y": ref})
    path = packs.write(tmp_path / "p.edgepack", (msgspec.structs.replace(manifest, goldens=(changed,)), files))
    done = run("verify", path, "--json")
    assert done.code == 1
    ways = [name for kind in ("onnx", "tflite") for name in engines.for_format(kind) if engines.library(name)]
    assert len(json.loads(done.out)["failures"]) == len(ways)


def test_choosing_prints_a_table_writes_a_page_and_is_remembered(run: Run, mlp_pack: Path, tmp_path: Path) -> None:
    page = tmp_path / "choice.html"
    done = run("choose", mlp_pack, "--seconds", "20", "--threads", "1", "--provider", "cpu", "--html", page)
    assert done.code == 0, done.err
    assert "chosen: " in done.out
    assert "<svg" in page.read_text(encoding="utf-8")
    again = run("choose", mlp_pack, "--html", page)
    assert (again.code, "exists already" in again.err) == (1, True)


def test_choosing_as_json_is_all_there_is_on_stdout(run: Run, mlp_pack: Path) -> None:
    done = run("choose", mlp_pack, "--seconds", "20", "--threads", "1", "--provider", "cpu", "--json", "--no-remember")
    choice = json.loads(done.out)
    assert choice["way"] == choice["measurements"][0]["way"]


def test_a_provider_that_is_not_here_is_one_line(run: Run, mlp_pack: Path) -> None:
    done = run("run", mlp_pack, ZOO / "mlp.npz", "--provider", "CUDAExecutionProvider", "--strict")
    assert (done.code, done.out) == (1, "")
    assert done.err.count("\n") == 1
    assert "provider 'CUDAExecutionProvider' is not available here" in done.err


def test_an_option_that_is_no_pair_is_refused(run: Run, mlp_pack: Path) -> None:
    done = run("run", mlp_pack, ZOO / "mlp.npz", "--option", "fast")
    assert (done.code, done.err) == (1, "edgepack: option 'fast' is no name=value\n")


def test_the_device_is_shown(run: Run) -> None:
    done = run("devices")
    assert done.code == 0
    assert "fingerprint" in done.out


def test_json_of_the_device_is_all_there_is_on_stdout(run: Run) -> None:
    done = run("devices", "--json")
    assert {row["engine"] for row in json.loads(done.out)["providers"]} == {"onnx", "litert", "openvino"}
    assert done.err == ""


def test_an_engine_that_is_missing_says_what_to_install(child: Child) -> None:
    code = "from edgepack.__main__ import main; main(['devices', '--json'])"
    rows = json.loads(child(code, without=("onnxruntime",)).stdout)["providers"]
    assert {row["why"] for row in rows if row["engine"] == "onnx"} == {"run: pip install 'edgepack[onnx]'"}


def test_without_its_extra_the_command_line_says_what_to_install(child: Child) -> None:
    done = child("import sys\nfrom edgepack.__main__ import main\nsys.exit(main(['devices']))", without=("cyclopts",))
    assert done.returncode == 1
    assert "pip install 'edgepack[cli]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1


# where stdout leads


def test_a_reader_that_leaves_early_is_no_traceback() -> None:
    writing = subprocess.Popen(
        [sys.executable, "-m", "edgepack", "devices"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert writing.stdout is not None
    writing.stdout.close()
    _, errors = writing.communicate(timeout=60)
    assert (writing.returncode, errors) == (1, "")


def test_a_full_disk_behind_stdout_is_one_line() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    with Path("/dev/full").open("w") as full:
        done = edgepack_command("devices", capture_output=False, stdout=full, stderr=subprocess.PIPE)
    assert (done.returncode, done.stderr) == (1, "edgepack: cannot write: no space left on the device\n")


def test_a_closed_stdout_is_no_traceback() -> None:
    done = subprocess.run(
        ["sh", "-c", '"$0" -m edgepack devices >&-', sys.executable], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_an_encoding_of_few_letters_is_no_traceback(mlp_pack: Path) -> None:
    done = edgepack_command("inspect", mlp_pack, env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert (done.returncode, done.stderr) == (0, "")
    assert "onnx-float32" in done.stdout


# speed


def test_help_takes_less_than_a_third_of_a_second_of_the_processor(tmp_path: Path) -> None:
    compiled = {**os.environ, "PYTHONPYCACHEPREFIX": str(tmp_path)}
    compiled.pop("PYTHONDONTWRITEBYTECODE", None)

    def seconds() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        edgepack_command("--help", env=compiled).check_returncode()
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime

    seconds()  # compiles
    assert min(seconds() for _ in range(5)) < 0.3


def test_ctrl_c_while_libraries_are_imported_is_one_line(child: Child) -> None:
    stopped = child("""
import sys
class Stopped:
    def find_spec(self, name, path=None, target=None):
        if name == "cyclopts":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Stopped())
from edgepack.__main__ import main
sys.exit(main(["devices"]))
""")
    assert (stopped.returncode, stopped.stderr.count("\n")) == (130, 1), stopped.stderr
    assert stopped.stderr.startswith("edgepack: stopped")
