"""The sync client."""

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from edgepack.client.calls import Call, Conversation, Done, Lost, Patience, Pause, Reply, Result, advance
from edgepack.client.core import Core, Wish, one_or_all
from edgepack.client.transport import (
    CONNECTIONS,
    RETRIES,
    TIMEOUT_S,
    Address,
    Verify,
    checked_url,
    library,
    lost_of,
    reply_of,
    request_of,
)
from edgepack.runtime.serve.messages import IndexEntry, InferAnswer, ModelMetadata
from edgepack.runtime.tensor import Array

if TYPE_CHECKING:
    from edgepack.client.core import Inputs


class Client:
    """Models that a server answers for. It may be used from several threads, and as a context manager.

    Errors are those that the server raised: `NotServedError` (no such model, version or label), `NotReadyError`,
    `OverloadedError` (with `retry_after_s`), `DeadlineError`, `TooLargeError`, `DeniedError`, `ConflictError`,
    `InputError` (what was sent does not fit, a step's refusal among it), `PackError` (a version is bad); `ServeError`
    where no answer came, or one that is none.

    Args:
        url: Where the server is: `http://127.0.0.1:8080`.
        token: What `--token-file` of the server asks for.
        binary: Whether tensors go as bytes, or as JSON for servers that take nothing else.
        timeout_s: How long one answer may take. The server is told, so that it computes nothing that nobody waits for.
        retries: How often a request is sent again at most where the server was overloaded or not ready (it says when to
            come again; more than 10 s, or than `timeout_s` allows, is not waited for) or the connection broke. All that
            is asked for gives the same twice; `rollback` does not and is sent once.
        connections: How many are held open and shared at most.
        verify: For https: False, or the file of the authorities that are trusted, or an `ssl.SSLContext`.

    Raises:
        InputError: The address or the token is none.
        MissingFileError: There is no file at `verify`.
        MissingExtraError: httpx is not installed.
    """

    def __init__(
        self,
        url: str,
        *,
        token: str | None = None,
        binary: bool = True,
        timeout_s: float = TIMEOUT_S,
        retries: int = RETRIES,
        connections: int = CONNECTIONS,
        verify: Verify = True,
    ) -> None:
        self.url = checked_url(url)
        self._core = Core(self.url, binary=binary, timeout_s=timeout_s, patience=Patience(retries))
        self._http = library().Client(**Address(self.url, token, verify, connections).options())

    def predict(
        self,
        model: str,
        sample: Any,
        *,
        version: str = "",
        request_id: str = "",
        timeout_s: float | None = None,
        priority: int = 0,
    ) -> Any:
        """Run one raw sample, or a list of them, through the model's own steps, as `Session.predict` does.

        Args:
            model: Its name.
            sample: What `Session.predict` takes: an image as a path, bytes, a PIL image or uint8 pixels; a text; a row
                as a dict, an array or a line of CSV; a sound; a series. Files are read here, the server sees no path.
                A list or tuple is several samples; a `Path` of a .csv of rows or a .txt of texts is all it holds.
            version: A version or a label (`"stable"`); empty is the default.
            request_id: What the server's log calls the request.
            timeout_s: How long the answer may take, where it is not what the client was made with.
            priority: 1 is served first among those that wait, then 2 and so on; 0 names none and comes last.

        Returns:
            For one sample, what the output's last step makes of it (for a classifier: `Score(label, score)`, best
            first), as `Session.predict` gives it; for several, a list of these. Long lists go in several requests.

        Raises:
            InputError, StepError, MissingFileError: The sample is not of the kind that is taken.
            ServeError: And those that the class names.
        """
        return self._run(self._core.predict(sample, Wish(model, version, request_id, timeout_s, priority)))

    def run(
        self,
        model: str,
        inputs: "Inputs",
        *,
        outputs: Sequence[str] = (),
        version: str = "",
        request_id: str = "",
        timeout_s: float | None = None,
        priority: int = 0,
    ) -> dict[str, Array]:
        """Run tensors, as `Session.run` does.

        Args:
            model: Its name.
            inputs: A dict by name, or one array where the model takes one input.
            outputs: Names of those that are wanted; none is all.
            version: A version or a label (`"stable"`); empty is the default.
            request_id: What the server's log calls the request.
            timeout_s: How long the answer may take, where it is not what the client was made with.
            priority: 1 is served first among those that wait, then 2 and so on; 0 names none and comes last.

        Returns:
            An array for each output, by name; text is an array of objects that are `bytes`.

        Raises:
            InputError: Names, shapes or element types that do not fit.
            ServeError: And those that the class names.
        """
        wish = Wish(model, version, request_id, timeout_s, priority)
        return self._run(self._core.infer(inputs, outputs, wish)).outputs

    def infer(self, model: str, inputs: "Inputs", *, outputs: Sequence[str] = (), version: str = "") -> InferAnswer:
        """What `run` gives, with the version that answered."""
        return self._run(self._core.infer(inputs, outputs, Wish(model, version)))

    def __call__(self, model: str, inputs: "Inputs", *, version: str = "") -> Array | dict[str, Array]:
        """Run like a Keras model: an array where there is one output, else a dict by name. Raises as `run` does."""
        return one_or_all(self.run(model, inputs, version=version))

    def live(self) -> bool:
        """Whether a server answers at all."""
        return self._run(self._core.is_well("/v2/health/live"))

    def ready(self, model: str = "", *, version: str = "") -> bool:
        """Whether the server, or a model or version of it, is there and answers."""
        return self._run(self._core.ready(Wish(model, version)))

    def models(self, *, ready: bool = False) -> list[IndexEntry]:
        """Every version of every model with its state; only those that answer with `ready`."""
        return self._run(self._core.index(ready=ready))

    def model(self, model: str, *, version: str = "") -> ModelMetadata:
        """What a model is: inputs, outputs, labels, what a raw sample of it is, which engine runs it."""
        return self._run(self._core.model(Wish(model, version)))

    def load(self, model: str, *, version: str = "", timeout_s: float | None = None) -> None:
        """Load a version, or all that the server's policy says; raises `PackError` where it is bad."""
        self._run(self._core.administer(Wish(model, version, timeout_s=timeout_s), "load"))

    def unload(self, model: str, *, version: str = "", timeout_s: float | None = None) -> None:
        """Take a version, or all, out of traffic and give its memory back; it stays so until `load`."""
        self._run(self._core.administer(Wish(model, version, timeout_s=timeout_s), "unload"))

    def rollback(self, model: str) -> str:
        """Go back to the last good version before the one that answers; returns it. Raises `ConflictError`."""
        return self._run(self._core.rollback(Wish(model)))

    def set_label(self, model: str, label: str, version: str) -> None:
        """Let a label point to a version; raises `ConflictError` where that is not ready."""
        self._run(self._core.set_label(Wish(model, version), label))

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def __enter__(self) -> "Client":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<edgepack.client.Client {self.url}>"

    def _run(self, conversation: Conversation[Result]) -> Result:
        """Have a conversation to its end."""
        found: Reply | Lost | None = None
        while not isinstance(step := advance(conversation, found), Done):
            found = self._after(step)
        return step.result

    def _after(self, step: Call | Pause) -> Reply | Lost | None:
        """Send or wait; what came of it."""
        if isinstance(step, Pause):
            time.sleep(step.seconds)
            return None
        try:
            return reply_of(self._http.request(**request_of(step)))
        except library().TransportError as error:
            return lost_of(error)
