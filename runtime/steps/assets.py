"""Options of steps that lie beside the manifest: a vocabulary of 20,000 words is a member of its own."""

from collections.abc import Callable
from typing import Any

import msgspec

from edgepack.runtime.errors import PackError
from edgepack.runtime.steps.base import Step, Steps

_MOST_INLINE_BYTES = 1_000
_KEY = "asset"


def resolve(steps: Steps, read: Callable[[str], bytes]) -> Steps:
    """The steps with each `{"asset": path}` replaced by what that member holds.

    Args:
        steps: As the manifest has them.
        read: Gives the checked bytes of a member.

    Raises:
        PackError: An asset is missing, damaged, or no JSON.
    """
    known: dict[str, Any] = {}

    def value(option: Any) -> Any:
        if isinstance(option, dict):
            if list(option) == [_KEY]:
                path = str(option[_KEY])
                if path not in known:
                    known[path] = _decode(path, read(path))
                return known[path]
            return {key: value(inner) for key, inner in option.items()}
        return [value(inner) for inner in option] if isinstance(option, list) and _nests(option) else option

    try:
        return _map(steps, value)
    except RecursionError as error:
        raise PackError("the options of a step go deeper than any step needs; build the pack again") from error


def separate(steps: Steps, add: Callable[[bytes], str]) -> Steps:
    """The steps with large lists moved out of their options; undone by `resolve`.

    Args:
        steps: With every option in place.
        add: Takes the bytes of a new member and gives its path.
    """

    def value(option: Any) -> Any:
        if isinstance(option, dict):
            return {key: value(inner) for key, inner in option.items()}
        if not isinstance(option, (list, tuple)):
            return option
        if _nests(option):
            return [value(inner) for inner in option]
        data = msgspec.json.encode(option)
        return {_KEY: add(data)} if len(data) > _MOST_INLINE_BYTES else option

    return _map(steps, value)


def _nests(option: Any) -> bool:
    """Whether a list is one of parts with options of their own, not of plain values."""
    return any(isinstance(inner, dict) for inner in option)


def _map(steps: Steps, change: Callable[[Any], Any]) -> Steps:
    """The steps with every option of the inputs changed."""
    return Steps(
        inputs={
            name: tuple(Step(step.step, change(step.options)) for step in chain) for name, chain in steps.inputs.items()
        },
        outputs=steps.outputs,
    )


def _decode(path: str, data: bytes) -> Any:
    try:
        return msgspec.json.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise PackError(f"asset {path!r} is not what a step needs: {error}; build the pack again") from error
