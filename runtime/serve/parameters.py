"""Parameters of the protocol that edgepack heeds: the deadline and the priority of a request, as Triton has them."""

from edgepack.runtime.errors import InputError
from edgepack.runtime.serve.messages import Parameters

_LEVELS = 2**32  # priorities are 32 bits wide
_LONGEST_US = 86_400_000_000  # a day


def timeout_s(parameters: Parameters) -> float | None:
    """The deadline in seconds; `timeout` is microseconds, 0 is none. Raises `InputError` where it is no such number."""
    asked_us = _whole(parameters, "timeout")
    if not 0 <= asked_us <= _LONGEST_US:
        raise InputError(f"parameter timeout is {asked_us}; it is microseconds, up to {_LONGEST_US:,}, or 0 for none")
    return asked_us / 1e6 if asked_us else None


def priority(parameters: Parameters) -> int:
    """The priority, higher first: in the protocol 1 is the highest, then 2; what names none (0) is behind all that do.

    Raises:
        InputError: It is no whole number of 32 bits.
    """
    asked = _whole(parameters, "priority")
    if not 0 <= asked < _LEVELS:
        raise InputError(f"parameter priority is {asked}; it is 1 for what goes first, then 2 and so on, or 0 for none")
    return _LEVELS - asked if asked else 0


def told(timeout_s: float | None, priority: int) -> Parameters:
    """The parameters that say a deadline and a priority, higher first, of 1 or more: what a client sends."""
    found: Parameters = {}
    if timeout_s is not None:
        found["timeout"] = max(1, round(timeout_s * 1e6))
    if priority:
        found["priority"] = _LEVELS - min(max(priority, 1), _LEVELS - 1)
    return found


def _whole(parameters: Parameters, name: str) -> int:
    value = parameters.get(name, 0)
    if not isinstance(value, int) or isinstance(value, bool):
        raise InputError(f"parameter {name} is {value!r:.40}; it is a whole number")
    return value
