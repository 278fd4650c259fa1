"""Ask a server of edgepack, or another one of the Open Inference Protocol: sync and async, in a few lines.

`Client("http://127.0.0.1:8080").predict("digits", "seven.png")`. It needs httpx (`pip install 'edgepack[client]'`), and
neither an engine nor what the server runs on.
"""

from edgepack.client.asynchronous import AsyncClient
from edgepack.client.synchronous import Client

__all__ = ["AsyncClient", "Client"]
