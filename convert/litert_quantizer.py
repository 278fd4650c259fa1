"""The seam to Google's quantizer of TFLite files: what it is told, and how its failures are told."""

import logging
import re
import warnings
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from edgepack.convert.options import Options
from edgepack.quiet import quiet
from edgepack.runtime.errors import ConvertError, one_line

Rule = Mapping[str, Any]
"""One entry of the quantizer's recipe: a later one holds over an earlier one."""

_INTERFACE = ("INPUT", "OUTPUT")
# option -> why a file of this format refuses it, where its precision does not take it
_REASONS = {
    "activations": "kernels take int8 activations, or int16 in int16x8; leave it out",
    "reduce_range": "no kernel of TFLite saturates with eight bits of weights; leave it out",
    "io": "only int8 takes and gives whole numbers of eight bits; ask for that precision",
}


def quantize(data: bytes, rules: Iterable[Rule], ranges: Mapping[str, tuple[float, float]] | None = None) -> bytes:
    """Quantize a float32 TFLite file.

    Args:
        data: The file.
        rules: What happens to which operators, as `rule` and `kept` make them.
        ranges: The range of each tensor, where activations are quantized.

    Raises:
        ConvertError: The quantizer refuses the file; the message is its own.
    """
    known = None
    if ranges is not None:
        known = {
            name: {"min": np.array([low], np.float32), "max": np.array([high], np.float32)}
            for name, (low, high) in ranges.items()
        }
    with quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.getLogger("absl").setLevel(logging.ERROR)
        try:
            from litert_quantizer.quantizer import Quantizer

            done = Quantizer(bytearray(data), [dict(one) for one in rules])
            result = done.quantize(known, enable_progress_bar=False, enable_progress_report=False)
        except Exception as error:  # it raises what its transformations raise
            raise ConvertError(f"the TFLite quantizer refuses the model: {one_line(error, 400)}") from error
    return bytes(result.quantized_model)


def check_options(options: Options, **taken: str) -> None:
    """Refuse what cannot be in a file of this format; what concerns ranges alone is of no use where there are none.

    Args:
        options: What was asked.
        taken: Values that the precision takes beside the default, by field.

    Raises:
        ConvertError: An option that is not its default, with the reason.
    """
    for field, value in options.said().items():
        if field in _REASONS and taken.get(field) != value:
            raise ConvertError(f"a TFLite file has no {field} {str(value).lower()} here: {_REASONS[field]}")


def granularity(options: Options) -> str:
    """The quantizer's own name of how many scales the weights of an operator have."""
    return {"per-channel": "CHANNELWISE", "per-tensor": "TENSORWISE"}[options.granularity]


def rule(
    kind: str,
    bits: int,
    *,
    operator: str = "*",
    granularity: str = "CHANNELWISE",
    nodes: Iterable[str] | None = None,
    symmetric: bool = False,
    **options: Any,
) -> list[Rule]:
    """The entries that quantize operators of one kind.

    Args:
        kind: `"dynamic"`, `"weight_only"` or `"static"`.
        bits: Of the weights.
        operator: The kind of operator, as TFLite calls it; `"*"` is all that the quantizer knows.
        granularity: `CHANNELWISE`, `TENSORWISE` or `BLOCKWISE_32` and so on.
        nodes: Only these, by the names of their output tensors with `;` between them; None is all.
        symmetric: Whether 0 stands for the number 0 in activations of 8 bits.
        options: `activation_num_bits` for `"static"`.
    """
    from litert_quantizer.qtyping import QuantGranularity, TFLOperationName
    from litert_quantizer.recipe_manager import RecipeManager

    manager = RecipeManager()
    sizes = {"weight_num_bits": bits, **options} if kind == "static" else {"num_bits": bits}
    key = "weight_granularity" if kind == "static" else "granularity"
    add = getattr(manager, f"add_{kind}_config")
    where = ".*" if nodes is None else _pattern(nodes)
    add(regex=where, operation_name=TFLOperationName(operator), **sizes, **{key: QuantGranularity(granularity)})
    found: list[Rule] = manager.get_quantization_recipe()
    if symmetric:
        found[0]["op_config"]["activation_tensor_config"]["symmetric"] = True
    return found


def kept(operators: Iterable[str] = (), nodes: Iterable[str] = (), *, interface: bool = True) -> list[Rule]:
    """The entries that keep operators in float.

    Args:
        operators: By their kind.
        nodes: By the names of their output tensors, with `;` between them.
        interface: Whether inputs and outputs of the file stay float too.
    """
    kinds = [*operators, *(_INTERFACE if interface else ())]
    wanted = [*((".*", kind) for kind in kinds), *([(_pattern(nodes), "*")] if (nodes := list(nodes)) else [])]
    return [
        {"regex": where, "operation": kind, "algorithm_key": "no_quantize", "op_config": {}} for where, kind in wanted
    ]


def _pattern(nodes: Iterable[str]) -> str:
    """What fits the names of operators, and no longer ones that begin so: a name may hold `;` itself."""
    return f"^({'|'.join(map(re.escape, sorted(nodes)))});?$"
