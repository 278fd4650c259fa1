"""The words of the two files: a header with all that firmware must know, and a source with the bytes."""

import re
from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from edgepack.convert.micro.array import CArray, Port
from edgepack.convert.micro.operators import resolver_calls
from edgepack.runtime.digests import sha256
from edgepack.runtime.manifest import Step, Steps

_BYTES_A_LINE = 16
_MOST_OPTIONS = 2000  # characters: the means of a table are worth a comment, a vocabulary is none


def identifier(text: str, fallback: str) -> str:
    """A name that C++ takes, made of any text: letters, digits and single underscores, a letter first."""
    found = re.sub(r"[^A-Za-z0-9]+", "_", text).strip("_")
    return found if found[:1].isalpha() else "_".join(filter(None, (fallback, found)))


def said_steps(steps: Steps) -> tuple[str, ...]:
    """A line for each input and output that a pack has steps for: nothing on a microcontroller does them by itself."""
    sides = (("before input", steps.inputs), ("after output", steps.outputs))
    return tuple(
        f"{side} {name!r} firmware has to do: {', '.join(map(_step, chain))}"
        for side, named in sides
        for name, chain in named.items()
        if chain
    )


def _step(step: Step) -> str:
    options = ", ".join(f"{name}={value!r}" for name, value in step.options.items())
    return f"{step.step}({options if len(options) <= _MOST_OPTIONS else '...'})"


def header(array: CArray, labels: Mapping[str, Sequence[str]], notes: Sequence[str]) -> str:
    """The `.h` file.

    Args:
        array: What is written.
        labels: By output name.
        notes: Lines for the comment at the top, such as the steps that firmware has to do itself.
    """
    name = array.name
    guard = f"{name.upper()}_H_"
    parts = [
        *(f"// {_plain(line)}" for line in (f"{name}: a TFLite model for TFLite-Micro.", *array.lines(), *notes)),
        "",
        f"#ifndef {guard}",
        f"#define {guard}",
        "",
        "#include <cstddef>",
        "#include <cstdint>",
        "",
        '#include "tensorflow/lite/micro/micro_mutable_op_resolver.h"',
        "",
        f"extern const unsigned char {name}_model[];",
        f"constexpr std::size_t {name}_model_bytes = {array.size_bytes};",
        "",
        "// Align the arena on 16 bytes. Kernels of other vendors than Arm may need more: arena_used_bytes() tells.",
        f"constexpr std::size_t {name}_arena_bytes = {array.arena_bytes};",
        *_variables(array),
        "",
        *_ports(f"{name}_input", array.inputs, {}),
        *_ports(f"{name}_output", array.outputs, labels),
        *_resolver(array),
        "",
        f"#endif  // {guard}",
    ]
    return "\n".join(parts) + "\n"


def source(array: CArray, data: bytes, header_name: str) -> str:
    """The `.cc` file: the bytes of the model, on 16 bytes as its weights are within it."""
    rows = (data[at : at + _BYTES_A_LINE] for at in range(0, len(data), _BYTES_A_LINE))
    body = "\n".join("    " + " ".join(f"0x{byte:02x}," for byte in row) for row in rows)
    return (
        f'#include "{header_name}"\n\n// SHA-256 {sha256(data)}\n'
        f"alignas(16) const unsigned char {array.name}_model[{array.name}_model_bytes] = {{\n{body}\n}};\n"
    )


def _ports(prefix: str, ports: Sequence[Port], labels: Mapping[str, Sequence[str]]) -> Iterator[str]:
    taken: set[str] = set()
    for index, port in enumerate(ports):
        own = f"{prefix}_{identifier(port.name, 'tensor')}"
        own = f"{own}_{index}" if own in taken else own
        taken.add(own)
        yield f"// {_plain(str(port))}"
        yield f"constexpr int {own}_index = {index};"
        yield f"constexpr int {own}_shape[] = {{{', '.join(map(str, port.shape or (1,)))}}};"
        if port.scale is not None:
            yield f"constexpr float {own}_scale = {_float(port.scale)};"
            yield f"constexpr int {own}_zero_point = {port.zero_point};"
        if texts := labels.get(port.name):
            yield f"constexpr const char* {own}_labels[] = {{{', '.join(map(_string, texts))}}};"
        yield ""


def _variables(array: CArray) -> Iterator[str]:
    if "VAR_HANDLE" in array.operators:
        yield "// The model keeps variables: give the interpreter tflite::MicroResourceVariables too."


def _resolver(array: CArray) -> Iterator[str]:
    """The function that registers the operators: each calls the method of the table, and stops where that fails."""
    name = array.name
    calls = resolver_calls(array.operators)
    yield "// Registers the operators of the model, and no others: what is not registered is not linked."
    yield f"constexpr unsigned int {name}_operator_count = {len(calls)};"
    yield ""
    yield "template <unsigned int count>"
    yield f"TfLiteStatus {name}_add_operators(tflite::MicroMutableOpResolver<count>& resolver) {{"
    yield f'  static_assert(count >= {name}_operator_count, "the resolver has no room for the operators of {name}");'
    for call in calls:
        yield f"  if (resolver.{call}() != kTfLiteOk) return kTfLiteError;"
    yield "  return kTfLiteOk;"
    yield "}"


def _float(value: float) -> str:
    """A float32 literal that reads back as the same number."""
    text = f"{float(np.float32(value)):.9g}"
    return f"{text if set('.e') & set(text) else text + '.0'}f"


def _string(text: str) -> str:
    """A string literal of the text in UTF-8; bytes beyond ASCII as octal, which ends after three digits."""
    plain = set(range(32, 127)) - set(b'"\\?')  # ? begins a trigraph
    return '"' + "".join(chr(byte) if byte in plain else f"\\{byte:03o}" for byte in text.encode()) + '"'


def _plain(line: str) -> str:
    """A line that stays one comment: ASCII alone, and no backslash at its end."""
    return " ".join(line.encode("ascii", "backslashreplace").decode().split()).rstrip("\\")
