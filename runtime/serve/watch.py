"""Tell when a folder of models may have changed: by the system's own notice, and by looking again now and then."""

import asyncio
import logging
from collections.abc import AsyncIterator
from pathlib import Path

from edgepack.runtime.serve.state import FILE

_LOG = logging.getLogger("edgepack.serve")


async def changes(
    folder: Path, *, debounce_s: float, rescan_s: float, stop: asyncio.Event, state_alone: bool = False
) -> AsyncIterator[None]:
    """Yield when something in `folder` may have changed, until `stop` is set.

    Args:
        folder: A folder of models; hidden files in it count for nothing, but for the state.
        debounce_s: Changes that follow each other this closely are told once.
        rescan_s: It is also told after this long without any change, as notices get lost (network file systems).
        stop: Set it to end.
        state_alone: Changes of the state count, and those of the models do not.
    """
    try:
        from watchfiles import awatch
    except ImportError:
        _LOG.info("watchfiles is not installed: %s is looked through every %g s", folder, rescan_s)
    else:
        try:
            async for _ in awatch(
                folder, watch_filter=lambda _, path: _counts(path, folder, state_alone), debounce=_ms(debounce_s),
                step=min(50, _ms(debounce_s)), rust_timeout=_ms(rescan_s), yield_on_timeout=True, stop_event=stop,
                ignore_permission_denied=True,
            ):  # fmt: skip
                yield
        except (OSError, RuntimeError, ExceptionGroup) as error:
            # No more inotify watches, the folder went away, or a name in it is no text, which watchfiles cannot tell.
            why = error.exceptions[0] if isinstance(error, ExceptionGroup) else error
            _LOG.warning("%s cannot be watched, and is looked through every %g s: %s", folder, rescan_s, why)
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), rescan_s)
        except TimeoutError:
            yield


def _ms(seconds: float) -> int:
    return max(1, round(seconds * 1000))


def _counts(path: str, folder: Path, state_alone: bool) -> bool:
    """Whether a change of this file is one of the models, or of the state."""
    try:
        parts = Path(path).relative_to(folder).parts
    except ValueError:  # another spelling of the folder: rather once too often
        return True
    return parts == (FILE,) or not (state_alone or any(part.startswith(".") for part in parts))
