"""Ask a server for what is on some pictures: all at once, by as many tasks.

`edgepack serve models/` in one terminal, then `python examples/serve_client.py digits examples/digits/*.png`.
"""

import asyncio
import sys

from edgepack.client import AsyncClient, Client
from edgepack.runtime.errors import EdgepackError
from edgepack.runtime.results import line

URL = "http://127.0.0.1:8080"


def show(url: str, model: str) -> None:
    """Print what the server says of a model."""
    with Client(url) as client:
        about = client.model(model)
        print(f"{about.name} {about.version}: {about.variant} on {about.engine}, {about.provider}")
        for raw in about.raw:
            print(f"takes {raw.told}")


async def ask(url: str, model: str, files: list[str]) -> None:
    """Print what the model makes of each file."""
    async with AsyncClient(url) as client:
        results = await asyncio.gather(*(client.predict(model, file) for file in files))
    for file, result in zip(files, results, strict=True):
        print(f"{file}: {line(result)}")


def main(arguments: list[str]) -> int:
    """Ask for the files that are named behind a model."""
    url = arguments.pop(0) if arguments and "://" in arguments[0] else URL
    if len(arguments) < 2:
        sys.stderr.write("usage: serve_client.py [URL] MODEL FILE…\n")
        return 2
    model, *files = arguments
    try:
        show(url, model)
        asyncio.run(ask(url, model, files))
    except EdgepackError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
