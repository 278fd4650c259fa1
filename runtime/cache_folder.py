"""Where this user's cache lies; asked at each load, so that nothing heavy is imported here."""

import contextlib
import os
import sys
from pathlib import Path

ENVIRONMENT = "EDGEPACK_CACHE"
"""The variable of the environment that moves the cache."""


def folder() -> Path | None:
    """Where the cache lies, made or not yet; None where this user has no home."""
    if said := os.environ.get(ENVIRONMENT):
        return Path(os.path.abspath(os.path.expanduser(said)))
    with contextlib.suppress(RuntimeError):  # no home
        return _usual_root() / "edgepack"
    return None


def _usual_root() -> Path:
    """Where the programs of this system keep their caches."""
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local")
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    said = os.environ.get("XDG_CACHE_HOME", "")
    return Path(said) if os.path.isabs(said) else Path.home() / ".cache"  # the standard has relative ones ignored
