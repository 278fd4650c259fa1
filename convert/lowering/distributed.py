"""TimeDistributed as one call of its layer on all steps of all rows.

Keras calls it once for every step, which makes the graph as many times larger; where the number of steps is free it
takes a way that gives another shape in a graph than it says (Keras 3.15).
"""

from typing import Any

from edgepack.convert.lowering.base import Call, Markers
from edgepack.convert.lowering.sizes import product, reshaped, sizes


def lower(layer: Any, markers: Markers) -> Call | None:
    """One call on `(batch * steps, …)`; None where a class of the user's own may look at the batch as a whole."""
    inside = layer.layer
    if not type(inside).__module__.startswith("keras.") or getattr(inside, "stateful", False):
        return None
    markers.notes.append(f"{layer.name}: one call on all steps")

    def call(inputs: Any, training: Any = None, mask: Any = None) -> Any:
        import keras

        del training
        rows, steps, *rest = sizes(inputs)
        options: dict[str, Any] = {"training": False} if inside._call_has_training_arg else {}
        if inside._call_has_mask_arg and mask is not None:
            options["mask"] = reshaped(mask, [product([rows, steps]), *sizes(mask)[2:]])
        made = inside.call(reshaped(inputs, [product([rows, steps]), *rest]), **options)
        return keras.tree.map_structure(lambda one: reshaped(one, [rows, steps, *sizes(one)[1:]]), made)

    return call
