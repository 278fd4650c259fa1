"""Everything a client can ask for, as conversations: no sockets, so that the sync and the async client are one."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar
from urllib.parse import quote

import msgspec
import numpy as np

from edgepack.client.calls import Call, Conversation, Patience, Reply, exchange
from edgepack.client.results import Results
from edgepack.client.samples import Samples
from edgepack.client.tensors import read_answer, sendable, spec_of, write_request
from edgepack.runtime.errors import InputError, ServeError, one_line
from edgepack.runtime.serve import parameters
from edgepack.runtime.serve.messages import IndexEntry, InferAnswer, InferRequest, ModelMetadata
from edgepack.runtime.tensor import Array

if TYPE_CHECKING:
    import numpy.typing as npt

    Inputs = Mapping[str, npt.ArrayLike] | npt.ArrayLike

_JSON = {"content-type": "application/json"}
# Samples of a long list go some at a time: no request comes near a server's limits, and others are served in between.
_SAMPLES_AT_ONCE = 64
_BYTES_AT_ONCE = 8 * 2**20

Found = TypeVar("Found")


class Wish(NamedTuple):
    """What may be said with any request to a model."""

    model: str
    version: str = ""
    """A version or a label; empty is the default."""
    request_id: str = ""
    timeout_s: float | None = None
    priority: int = 0
    """As in the protocol: 1 is served first, then 2; 0 comes last."""


class _PredictBody(msgspec.Struct, omit_defaults=True):
    samples: Sequence[msgspec.Raw]
    id: str = ""
    timeout_ms: float | None = None
    priority: int = 0


class _PredictReply(msgspec.Struct):
    model_version: str
    results: list[Any]


class _RollbackReply(msgspec.Struct):
    version: str


class _About(NamedTuple):
    """What the client keeps in mind of a model, so that it need not ask before each sample."""

    metadata: ModelMetadata
    samples: Samples
    results: Results


class Core:
    """The conversations with one server.

    Args:
        address: Where it is, as messages name it.
        binary: Whether tensors go as bytes behind the JSON, or as numbers in it.
        timeout_s: How long an answer may take, where a wish says nothing.
        patience: When a request is sent again.
    """

    def __init__(self, address: str, *, binary: bool, timeout_s: float, patience: Patience) -> None:
        if not timeout_s > 0:
            raise InputError(f"timeout_s is {timeout_s!r}; it takes a number of seconds above 0")
        self._address, self._binary, self._timeout_s, self._patience = address, binary, timeout_s, patience
        self._known: dict[tuple[str, str], _About] = {}

    def is_well(self, path: str) -> Conversation[bool]:
        """Whether a health endpoint says yes; no answer is a no."""
        found = yield Call("GET", path, timeout_s=self._timeout_s)
        return isinstance(found, Reply) and found.status == 200

    def ready(self, wish: Wish) -> Conversation[bool]:
        """Whether the server is ready, or the model that is wished for."""
        return self.is_well(f"{model_path(wish)}/ready" if wish.model else "/v2/health/ready")

    def index(self, *, ready: bool) -> Conversation[list[IndexEntry]]:
        """Every version of every model, or those that answer."""
        body = msgspec.json.encode({"ready": ready})
        reply = yield from self._exchange(Call("POST", "/v2/repository/index", body, _JSON, self._timeout_s))
        return _decoded(reply.content, list[IndexEntry])

    def model(self, wish: Wish) -> Conversation[ModelMetadata]:
        """What a model is."""
        return (yield from self._about(wish, anew=True)).metadata

    def infer(self, inputs: "Inputs", outputs: Sequence[str], wish: Wish) -> Conversation[InferAnswer]:
        """Run tensors."""
        named = yield from self._named(inputs, wish)
        timeout_s = self._timeout(wish)
        request = InferRequest(
            wish.model,
            named,
            wish.version,
            wish.request_id,
            tuple(outputs),
            timeout_s=timeout_s,
            priority=parameters.priority({"priority": wish.priority}),
        )
        headers, body = write_request(request, binary=self._binary)
        reply = yield from self._exchange(Call("POST", f"{model_path(wish)}/infer", body, headers, timeout_s))
        answer = read_answer(reply.headers, reply.content)
        self._forget_others(wish, answer.version)
        return answer

    def predict(self, sample: Any, wish: Wish) -> Conversation[Any]:
        """Run raw samples."""
        about = yield from self._about(wish)
        samples, many = about.samples.listed(sample)
        results: list[Any] = []
        for piece in _pieces(samples, about.samples.written):
            answer = yield from self._predicted(piece, wish)
            if self._forget_others(wish, answer.model_version):
                about = yield from self._about(wish)
            results += map(about.results.read, answer.results)
        if len(results) != len(samples):
            raise ServeError(f"{self._address} gave {len(results)} results for {len(samples)} samples")
        return results if many else results[0]

    def administer(self, wish: Wish, action: str, *, is_repeatable: bool = True) -> Conversation[Reply]:
        """Load, unload or roll back."""
        body = msgspec.json.encode({"parameters": {"version": wish.version}} if wish.version else {})
        path = f"/v2/repository/models/{quote(wish.model, safe='')}/{action}"
        return (yield from self._exchange(Call("POST", path, body, _JSON, self._timeout(wish), is_repeatable)))

    def rollback(self, wish: Wish) -> Conversation[str]:
        """Go back to the version before; returns it. Sent once: a second time would go back twice."""
        reply = yield from self.administer(wish, "rollback", is_repeatable=False)
        return _decoded(reply.content, _RollbackReply).version

    def set_label(self, wish: Wish, label: str) -> Conversation[None]:
        """Let a label point to the version that is wished for."""
        path = f"/v2/repository/models/{quote(wish.model, safe='')}/labels/{quote(label, safe='')}"
        body = msgspec.json.encode({"version": wish.version})
        yield from self._exchange(Call("PUT", path, body, _JSON, self._timeout(wish)))

    def _exchange(self, call: Call) -> Conversation[Reply]:
        return exchange(self._address, call, self._patience)

    def _timeout(self, wish: Wish) -> float:
        return self._timeout_s if wish.timeout_s is None else wish.timeout_s

    def _about(self, wish: Wish, *, anew: bool = False) -> Conversation[_About]:
        key = (wish.model, wish.version)
        if anew or key not in self._known:
            reply = yield from self._exchange(Call("GET", model_path(wish), timeout_s=self._timeout(wish)))
            metadata = _decoded(reply.content, ModelMetadata)
            self._known[key] = _About(metadata, Samples(metadata.raw), Results(metadata))
        return self._known[key]

    def _forget_others(self, wish: Wish, answered: str) -> bool:
        """Forget what was known of a model where another version of it answered meanwhile; whether that was so."""
        known = self._known.get((wish.model, wish.version))
        changed = known is not None and known.metadata.version != answered
        if changed:
            del self._known[wish.model, wish.version]
        return changed

    def _named(self, inputs: "Inputs", wish: Wish) -> Conversation[dict[str, Array]]:
        """The inputs by name, as arrays; what has no element type of its own takes the model's."""
        if isinstance(inputs, Mapping) and all(isinstance(value, np.ndarray) for value in inputs.values()):
            return {str(name): sendable(name, np.asarray(value)) for name, value in inputs.items()}
        about = yield from self._about(wish)
        specs = {tensor.name: spec_of(tensor) for tensor in about.metadata.inputs}
        if not isinstance(inputs, Mapping):
            if len(specs) != 1:
                raise InputError(
                    f"got one array; the model takes {len(specs)} ({', '.join(specs)}): pass a dict by name"
                )
            inputs = dict.fromkeys(specs, inputs)
        return {
            name: specs[name].check(value) if name in specs else sendable(name, np.asarray(value))
            for name, value in inputs.items()
        }

    def _predicted(self, samples: Sequence[msgspec.Raw], wish: Wish) -> Conversation[_PredictReply]:
        timeout_s = self._timeout(wish)
        parameters.priority({"priority": wish.priority})  # raises here what the server would
        body = _PredictBody(samples, wish.request_id, timeout_s * 1e3, wish.priority)
        call = Call("POST", f"{model_path(wish)}/predict", msgspec.json.encode(body), _JSON, timeout_s)
        reply = yield from self._exchange(call)
        return _decoded(reply.content, _PredictReply)


def model_path(wish: Wish) -> str:
    """The path of a model, or of one version of it."""
    path = f"/v2/models/{quote(wish.model, safe='')}"
    return f"{path}/versions/{quote(wish.version, safe='')}" if wish.version else path


def one_or_all(outputs: dict[str, Array]) -> Array | dict[str, Array]:
    """The array where there is one output, else all by name."""
    return next(iter(outputs.values())) if len(outputs) == 1 else outputs


def _pieces(samples: Sequence[Any], write: Callable[[Any], Any]) -> Iterator[list[msgspec.Raw]]:
    """Samples as JSON, some at a time; each is written when its turn comes."""
    piece: list[msgspec.Raw] = []
    size = 0
    for sample in samples:
        encoded = msgspec.json.encode(write(sample))
        if piece and (len(piece) == _SAMPLES_AT_ONCE or size + len(encoded) > _BYTES_AT_ONCE):
            yield piece
            piece, size = [], 0
        piece.append(msgspec.Raw(encoded))
        size += len(encoded)
    if piece:
        yield piece


def _decoded(content: bytes, kind: type[Found]) -> Found:
    try:
        return msgspec.json.decode(content, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ServeError(f"the server answers with what is no answer of this protocol: {one_line(error)}") from error
