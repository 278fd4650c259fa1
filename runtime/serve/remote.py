"""Ask a running server to change what it serves, with nothing but the standard library."""

import json
import urllib.error
import urllib.parse
import urllib.request

from edgepack.runtime.errors import ConflictError, DeniedError, InputError, NotServedError, ServeError, one_line

_PATIENCE_S = 60.0  # the version that answers next may have to be loaded first
_ERRORS: dict[int, type[ServeError]] = {404: NotServedError, 409: ConflictError, 401: DeniedError, 403: DeniedError}


def rollback_at(url: str, name: str, token: str | None = None) -> str:
    """Let the version before the one that answers answer again, at the server of this URL, and return it.

    Raises:
        InputError: It is no URL of a server.
        NotServedError: The server has no such model.
        ConflictError: There is no version to go back to.
        DeniedError: The token is missing, or is no admin's.
        ServeError: Nobody answers, or something else does.
    """
    if not url.startswith(("http://", "https://")):
        raise InputError(f"url is {url[:80]!r}; it takes the address of a server, as http://127.0.0.1:8080")
    place = f"{url.rstrip('/')}/v2/repository/models/{urllib.parse.quote(name, safe='')}/rollback"
    headers = {"Authorization": f"Bearer {token}"} if token else {}
    try:
        with urllib.request.urlopen(
            urllib.request.Request(place, data=b"", headers=headers, method="POST"), timeout=_PATIENCE_S
        ) as answer:
            return str(json.loads(answer.read())["version"])
    except urllib.error.HTTPError as error:
        with error:
            raise _ERRORS.get(error.code, ServeError)(f"{url}: {_said(error)}") from error
    except OSError as error:  # urllib.error.URLError is one
        raise ServeError(f"no server answers at {url}: {one_line(getattr(error, 'reason', error))}") from error
    except (ValueError, LookupError, TypeError) as error:
        raise ServeError(f"{url} is no server of edgepack's: it answers something else") from error


def _said(error: urllib.error.HTTPError) -> str:
    """The line that the server tells, else the words of the status."""
    try:
        return one_line(json.loads(error.read(100_000))["error"])
    except (ValueError, LookupError, TypeError):
        return f"{error.code} {error.reason}"
