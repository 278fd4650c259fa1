"""The commands `serve`, `push` and `rollback`: thin skins over the server and its repository."""

import asyncio
import os
import sys
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter
from msgspec import to_builtins

from edgepack import __version__
from edgepack.runtime.errors import InputError, MissingExtraError
from edgepack.runtime.serve.config import gather
from edgepack.runtime.serve.settings import Settings

Flag = Annotated[bool, Parameter(negative="")]
Json = Annotated[bool, Parameter(name="--json", negative="")]


def serve(  # noqa: PLR0913 - options of a command
    models: Path | None = None,
    /,
    *,
    config: Path | None = None,
    host: str | None = None,
    port: int | None = None,
    grpc_port: int | None = None,
    workers: int | None = None,
    token_file: Path | None = None,
    tls_cert: Path | None = None,
    tls_key: Path | None = None,
    insecure: Flag = False,
    watch: Annotated[bool, Parameter(negative="--no-watch")] = True,
    on_demand: Flag = False,
    memory_mb: int | None = None,
    max_batch: int | str | None = None,
    max_delay_ms: float | None = None,
    variant: str | None = None,
    engine: str | None = None,
    provider: str | None = None,
    threads: int | None = None,
    drain_s: float | None = None,
    check_config: Flag = False,
    json: Json = False,
) -> int:
    """Serve every pack in a folder through the Open Inference Protocol, and a page to try them on.

    SIGTERM or Ctrl-C: the server takes no more requests, answers those it has, and ends; a second one ends it at once.

    Args:
        models: The folder of packs: NAME/VERSION/…, NAME/VERSION.edgepack, or flat packs.
        config: A TOML file of settings; options of the command line stand over it.
        host: The address to listen on, 127.0.0.1 by default. One that other machines reach needs --token-file, or
            --tls-cert and --tls-key, or --insecure.
        port: The port for HTTP, 8080 by default; 0 takes any free one, and prints it.
        grpc_port: The port for gRPC; without it there is no gRPC.
        workers: Processes that share the port; the cores are divided among them.
        token_file: A TOML file: read = ["…"] for those who may infer, admin = ["…"] for those who may also load, unload
            and roll back.
        tls_cert: A file with the certificate and its chain (PEM).
        tls_key: The file with its key.
        insecure: Let anyone in, from anywhere.
        watch: Take new versions that are put into the folder.
        on_demand: Load a model when it is first asked for.
        memory_mb: Unload idle models, least recently used first, beyond so much memory.
        max_batch: Rows that share a run at most: 1 for no batching, or "auto", which measures.
        max_delay_ms: How long a request may wait for company.
        variant: The variant of every model without settings of its own: a name, a precision, or "auto".
        engine: "onnx", "litert" or "openvino".
        provider: Where to run, best first, separated by commas.
        threads: Threads one call may use.
        drain_s: How long requests may take to end when the server stops.
        check_config: Print what would be served, and from which settings, and serve nothing.
        json: Print events, or what --check-config finds, as JSON.
    """
    settings = gather(
        config,
        {
            "models": _text(models), "host": host, "port": port, "grpc_port": grpc_port, "workers": workers,
            "token_file": _text(token_file), "tls_cert": _text(tls_cert), "tls_key": _text(tls_key),
            "insecure": insecure or None, "watch": None if watch else False, "on_demand": on_demand or None,
            "memory_mb": memory_mb, "drain_s": drain_s, "default.batch.max_rows": max_batch,
            "default.batch.max_delay_ms": max_delay_ms, "default.variant": variant, "default.engine": engine,
            "default.provider": None if provider is None else [part.strip() for part in provider.split(",")],
            "default.threads": threads,
        },
    )  # fmt: skip
    if check_config:
        return _show_check(settings, json=json)
    return _serve(settings, json=json)


def push(pack: Path, /, *, to: Path, name: str | None = None, version: int | None = None, json: Json = False) -> int:
    """Prove a pack on this device, and put it into a folder of models as a new version.

    A server that watches the folder takes it when it has proved and warmed it once more; the old version drains.

    Args:
        pack: A pack.
        to: The folder of models; it is made where the folder it lies in exists.
        name: Which model it is a version of; by default the name in the pack.
        version: Its version; by default the one after the highest.
        json: Print one JSON document on stdout and nothing else.
    """
    from edgepack import console
    from edgepack.quiet import quiet
    from edgepack.runtime.serve.push import push as put

    with quiet():  # engines greet on stderr
        pushed = put(pack, to, name, version)
    if json:
        console.show_json(pushed)
        return 0
    if pushed.made_folder:
        console.note(f"made the folder {to}")
    for reason in pushed.passed_over:
        console.note(f"edgepack: warning: not served here, as it is wrong here: {reason}")
    console.show(f"{pack} is {pushed.path}; here it runs as {pushed.runs}")
    return 0


def rollback(
    name: str,
    /,
    *,
    folder: Annotated[Path | None, Parameter(name=("--in", "--to"))] = None,
    url: str | None = None,
    json: Json = False,
) -> int:
    """Let the version before the one that answers answer again.

    Args:
        name: The model.
        folder: The folder of models; a server that runs on it follows, another reads it at its start.
        url: A running server in place of a folder, as http://127.0.0.1:8080; an admin's token is read from the
            environment, EDGEPACK_TOKEN.
        json: Print one JSON document on stdout and nothing else.
    """
    from edgepack import console
    from edgepack.runtime.serve.push import rollback as go_back
    from edgepack.runtime.serve.remote import rollback_at

    if (folder is None) == (url is None):
        raise InputError("say where the model is: --in FOLDER, or --url of a running server")
    token = os.environ.get("EDGEPACK_TOKEN")
    version = rollback_at(url, name, token) if url is not None else go_back(folder or Path(), name)
    if json:
        console.show_json({"name": name, "version": version})
    else:
        console.show(f"{name}: version {version} answers from now on")
    return 0


def _serve(settings: Settings, *, json: bool) -> int:
    try:
        import httptools  # noqa: F401 - asked before anything is begun
    except ModuleNotFoundError:
        raise MissingExtraError("the server", "serve") from None
    from edgepack.runtime.serve.listening import bind
    from edgepack.runtime.serve.telling import to_people, to_programs

    tell = (to_programs if json else to_people)(sys.stdout)
    listener = bind(settings.host, settings.port)
    if settings.workers > 1:
        from edgepack.runtime.serve.workers import supervise

        return asyncio.run(supervise(settings, __version__, listener, tell))
    from edgepack.runtime.serve.logs import logging_to_stderr
    from edgepack.runtime.serve.server import Place, serve

    with logging_to_stderr(settings.log):
        return asyncio.run(serve(settings, __version__, Place(listener), tell))


def _show_check(settings: Settings, *, json: bool) -> int:
    from edgepack import console
    from edgepack.runtime.serve.preview import preview

    found = preview(settings)
    code = 1 if found.failures else 0
    if json:
        console.show_json(found)
        return code
    console.show_table("Settings", ("key", "value"), _rows("", to_builtins(settings)))
    rows = [
        (one.name, one.version, ", ".join(one.variants), f"{one.size_bytes / 1000:,.1f}", one.failure or "can be read")
        for one in found.models
    ]
    console.show_table("Models", ("model", "version", "variants", "size in kB", "verdict"), rows)
    for path, reason in found.ignored.items():
        console.note(f"passed over: {path}: {reason}")
    for failure in found.failures:
        console.note(f"edgepack: {failure}")
    return code


def _rows(key: str, value: Any) -> list[tuple[str, object]]:
    """Each setting by its key with dots."""
    if isinstance(value, dict) and value:
        return [row for name, one in value.items() for row in _rows(f"{key}.{name}" if key else name, one)]
    if isinstance(value, bool):
        return [(key, str(value).lower())]
    return [(key, "–" if value in (None, [], {}) else value)]


def _text(path: Path | None) -> str | None:
    return None if path is None else str(path)
