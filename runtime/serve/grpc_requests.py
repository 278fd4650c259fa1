"""An inference request of the gRPC protocol as the data plane takes it."""

from collections.abc import Iterable
from typing import Any

from edgepack.runtime.errors import DeadlineError, InputError, TooLargeError
from edgepack.runtime.serve import parameters
from edgepack.runtime.serve.grpc_messages import parsed
from edgepack.runtime.serve.grpc_tensors import to_arrays, to_parameters
from edgepack.runtime.serve.grpc_wire import split
from edgepack.runtime.serve.messages import InferRequest

# What Triton's protocol knows and this server does not: to pass over these would answer something else than was asked.
_NOT_SERVED = {
    "sequence_id": "sequences are not served; send every request by itself",
    "shared_memory_region": "shared memory is not served; send the tensor in the request",
    "classification": "classes are not counted here; take the scores, or ask predict over HTTP for labels",
}


def to_request(data: bytes, *, most_tensors: int, remaining_s: float | None) -> InferRequest:
    """Return the request in the bytes of a `ModelInferRequest`; its tensors are views of `data` where they can be.

    Args:
        data: What came.
        most_tensors: So many tensors are taken at most, inputs and requested outputs each.
        remaining_s: What the call's own deadline leaves; None where it has none.

    Raises:
        InputError: Bytes, tensors or parameters that do not fit.
        TooLargeError: Too many tensors.
        DeadlineError: The call's deadline has passed.
    """
    if remaining_s is not None and remaining_s <= 0:
        raise DeadlineError("the deadline of the call had passed before it was computed")
    head, raw = split(data)
    message = parsed("ModelInferRequest", head)
    if len(message.outputs) > most_tensors:
        raise TooLargeError(f"the request asks for {len(message.outputs)} outputs; the server takes {most_tensors}")
    told = to_parameters(message.parameters)
    _check_served([message, *message.inputs, *message.outputs])
    timeout_s = parameters.timeout_s(told)
    limits = [limit for limit in (timeout_s, remaining_s) if limit is not None]
    return InferRequest(
        message.model_name,
        to_arrays(message.inputs, raw, most_tensors),
        version=message.model_version,
        id=message.id,
        outputs=tuple(output.name for output in message.outputs),
        parameters=told,
        timeout_s=min(limits) if limits else None,
        priority=parameters.priority(told),
    )


def _check_served(carriers: Iterable[Any]) -> None:
    for carrier in carriers:
        if carrier.parameters:
            for name, why in _NOT_SERVED.items():
                if name in carrier.parameters:
                    raise InputError(f"parameter {name!r}: {why}")
