"""Where this user's cache lies; asked at each load, so that nothing heavy is imported here, pathlib included."""

import os
import sys

ENVIRONMENT = "EDGEPACK_CACHE"
"""The variable of the environment that moves the cache."""


def folder() -> str | None:
    """Where the cache lies, made or not yet; None where this user has no home."""
    if said := os.environ.get(ENVIRONMENT):
        return os.path.abspath(os.path.expanduser(said))
    root = _usual_root()
    return os.path.join(root, "edgepack") if os.path.isabs(root) else None


def _usual_root() -> str:
    """Where the programs of this system keep their caches; a relative path where this user has no home."""
    if sys.platform == "win32":
        return os.environ.get("LOCALAPPDATA") or os.path.expanduser(os.path.join("~", "AppData", "Local"))
    if sys.platform == "darwin":
        return os.path.expanduser(os.path.join("~", "Library", "Caches"))
    said = os.environ.get("XDG_CACHE_HOME", "")
    return said if os.path.isabs(said) else os.path.expanduser("~/.cache")  # the standard has relative ones ignored
