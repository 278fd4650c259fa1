"""The generated source goes through a real compiler, against the few declarations of TFLite-Micro that it needs."""

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from edgepack.convert.micro.array import Agreement, CArray, Port
from edgepack.convert.micro.operators import RESOLVER
from edgepack.convert.micro.text import header, source

STUB = Path(__file__).parent / "tflm_stub"
EXAMPLE = Path(__file__).parents[2] / "examples" / "micro" / "main.cc"

pytestmark = pytest.mark.skipif(shutil.which("g++") is None, reason="needs g++")

DATA = bytes(range(256)) * 3 + b"\x00"
LABELS = {"digit": ("zero", 'a "b"\\', "Größe", "??/", "\n", *"56789")}


def _array(name: str, operators: tuple[str, ...]) -> CArray:
    return CArray(
        header=f"{name}.h", source=f"{name}.cc", name=name, size_bytes=len(DATA), arena_bytes=4096,
        smallest_arena_bytes=4000, reserve_bytes=96, operators=operators,
        inputs=(Port("image", "int8", (1, 28, 28, 1), 1 / 255, -128),),
        outputs=(Port("digit", "int8", (1, 10), 1 / 256, -128), Port("a b", "float32", ()), Port("a-b", "int32", (1,))),
        litert=Agreement(1, 1.0, 0.0, 300.0), keras=None, samples="given samples",
    )  # fmt: skip


@pytest.fixture
def firmware(tmp_path: Path) -> Path:
    array = _array("digits", tuple(RESOLVER))
    notes = ("a note that ends in a backslash \\", "数字")
    (tmp_path / "digits.h").write_text(header(array, LABELS, notes), encoding="ascii")
    (tmp_path / "digits.cc").write_text(source(array, DATA, "digits.h"), encoding="ascii")
    return tmp_path


def _compile(folder: Path, *sources: str | Path) -> "subprocess.CompletedProcess[str]":
    flags = ("-std=c++17", "-Wall", "-Wextra", "-Wpedantic", "-Werror", f"-I{folder}", f"-I{STUB}")
    return subprocess.run(
        ["g++", *flags, *sources, "-o", "program"], cwd=folder, capture_output=True, text=True, check=False
    )


def test_the_example_compiles_with_every_operator_of_the_table(firmware: Path) -> None:
    done = _compile(firmware, "digits.cc", EXAMPLE)
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([firmware / "program"], capture_output=True, text=True, check=False)
    assert ran.returncode == 0
    assert "the arena holds 4096 of 4096 bytes" in ran.stdout


def test_the_compiler_reads_the_same_bytes_numbers_and_labels(firmware: Path) -> None:
    (firmware / "dump.cc").write_text(
        '#include "digits.h"\n#include <cstdio>\n#include <cstring>\n'
        "int main() {\n"
        "  std::fwrite(digits_model, 1, digits_model_bytes, stdout);\n"
        "  std::fwrite(&digits_input_image_scale, 1, sizeof(float), stdout);\n"
        "  for (const char* text : digits_output_digit_labels) std::fwrite(text, 1, std::strlen(text) + 1, stdout);\n"
        "  return reinterpret_cast<std::uintptr_t>(digits_model) % 16 ? 1 : 0;\n"
        "}\n"
    )
    done = _compile(firmware, "digits.cc", "dump.cc")
    assert done.returncode == 0, done.stderr
    ran = subprocess.run([firmware / "program"], capture_output=True, check=False)
    assert ran.returncode == 0, "the model lies on 16 bytes"
    labels = b"".join(label.encode() + b"\0" for label in LABELS["digit"])
    assert ran.stdout == DATA + np.float32(1 / 255).tobytes() + labels


def test_a_resolver_without_room_does_not_compile(firmware: Path) -> None:
    (firmware / "small.cc").write_text(
        '#include "digits.h"\n'
        "int main() { tflite::MicroMutableOpResolver<digits_operator_count - 1> r; return digits_add_operators(r); }\n"
    )
    done = _compile(firmware, "digits.cc", "small.cc")
    assert done.returncode != 0
    assert "the resolver has no room for the operators of digits" in done.stderr
