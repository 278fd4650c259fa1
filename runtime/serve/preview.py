"""What would be served: what `edgepack serve --check-config` finds, without a port, a session or a change."""

from collections.abc import Mapping
from pathlib import Path

import msgspec

from edgepack.runtime.errors import EdgepackError, one_line
from edgepack.runtime.pack import Pack
from edgepack.runtime.serve.guard import read_tokens
from edgepack.runtime.serve.layout import scan
from edgepack.runtime.serve.listening import tls_context
from edgepack.runtime.serve.settings import Settings


class Found(msgspec.Struct, frozen=True):
    """One version of one model in the folder."""

    name: str
    version: str
    path: str
    size_bytes: int
    variants: tuple[str, ...] = ()
    failure: str = ""
    """Why it cannot be served; empty where nothing speaks against it."""


class Preview(msgspec.Struct, frozen=True):
    """Settings, and what they would serve."""

    settings: Settings
    models: tuple[Found, ...]
    ignored: Mapping[str, str]
    """What lies in the folder and is passed over, and why."""
    failures: tuple[str, ...]
    """Why a server would not start, or would serve less than there is; empty where all is well."""


def preview(settings: Settings) -> Preview:
    """Look at what checked settings name: the tokens, the certificate, and every pack's manifest.

    Packs are not run; `edgepack verify` does that. Raises `MissingFileError` where the folder is gone.
    """
    layout = scan(settings.models)
    models = tuple(
        _found(name, str(version), place.path, place.size_bytes)
        for name, versions in sorted(layout.models.items())
        for version, place in sorted(versions.items())
    )
    failures = [f"{one.name} {one.version}: {one.failure}" for one in models if one.failure]
    if not models:
        failures.append(f"no pack in {settings.models}; put one there: edgepack push PACK --to {settings.models}")
    unknown = [name for name in settings.model if name not in layout.models]
    failures += [f"model.{name} has settings, and there is no such model in {settings.models}" for name in unknown]
    return Preview(settings, models, layout.ignored, (*_about_secrets(settings), *failures))


def _about_secrets(settings: Settings) -> list[str]:
    failures = []
    try:
        tls_context(settings)
    except EdgepackError as error:
        failures.append(str(error))
    try:
        if settings.token_file:
            read_tokens(Path(settings.token_file))
    except EdgepackError as error:
        failures.append(str(error))
    return failures


def _found(name: str, version: str, path: Path, size_bytes: int) -> Found:
    found = Found(name, version, str(path), size_bytes)
    try:
        with Pack(path) as pack:
            variants = tuple(one.name for one in pack.manifest.variants)
    except (EdgepackError, OSError) as error:
        return msgspec.structs.replace(found, failure=one_line(error))
    return msgspec.structs.replace(found, variants=variants)
