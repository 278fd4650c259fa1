"""Why a converter refuses a model, in words a person can act on: its own are stacks of compiler locations."""

import re
from collections.abc import Iterable, Mapping

_UNKNOWN = re.compile(r"'tf\.(\w+)' op is neither a custom op nor a flex op")
_SELECT = re.compile(r"TF Select ops: (\w+(?:, \w+)*)")
_LOCATIONS = re.compile(r"(<frozen runpy>|/[\w./-]+\.py|<unknown>):\d+:\d+:.*")
_ERROR = re.compile(r"\berror: (.+?)(?: <frozen runpy>:| /[\w./-]+\.py:| <unknown>:|$)")
_SHOWN = 5


def tflite_reason(text: str, places: Mapping[str, Iterable[str]]) -> str:
    """What TensorFlow's converter means.

    Args:
        text: Its message, on one line.
        places: The names of the graph's nodes, by their operator.
    """
    if "element_shape to be static" in text:
        return (
            "a loop keeps what each of its steps gives, and needs sizes that are fixed for that: leave --batch dynamic "
            "out, and fix free axes by --input-shape"
        )
    named = {*_UNKNOWN.findall(text)}
    for listed in _SELECT.findall(text):
        named |= {name.strip().removeprefix("Flex") for name in listed.split(",") if name.strip()}
    if named:
        return missing("TFLite", "onnx", {name: places.get(name, ()) for name in sorted(named)})
    told = _ERROR.search(text)
    return _LOCATIONS.sub("", text).strip() or (told[1].strip() if told else "it gives no reason")


def missing(file_format: str, other: str, operators: Mapping[str, Iterable[str]]) -> str:
    """That a format has no such operators, where in the model they are, and what helps.

    Args:
        file_format: Its name.
        other: The target that may have them.
        operators: The names of nodes by the operator that is missing.
    """
    parts = []
    for operator, names in operators.items():
        layers = list(dict.fromkeys(_layer(name) for name in names))[:_SHOWN]
        parts.append(f"{operator} (in {', '.join(layers)})" if layers else operator)
    return (
        f"{file_format} has no operator for {', '.join(parts)}: convert to {other} alone (--target {other}), or "
        "replace the layer"
    )


def _layer(node: str) -> str:
    """The part of a node's name between those of the model and of the operator: the layer's, and what it is made of."""
    return "/".join(node.split("/")[1:-1]) or node
