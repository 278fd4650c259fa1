"""Every configuration of every public Keras layer that the sweep converts, and the layers it leaves out."""

import re
from importlib import import_module

from tests.conformance.making import Case

_FAMILIES = (
    "core", "convolution", "pooling", "normalization", "recurrent", "stepwise", "attention", "preprocessing", "words",
    "image", "corners",
)  # fmt: skip

# public names of `keras.layers` without a case -> why
NOT_SWEPT = {
    "FlaxLayer": "runs code of another framework, which is not part of the model",
    "InputSpec": "no layer: a description of what a layer takes",
    "JaxLayer": "runs code of another framework, which is not part of the model",
    "Lambda": "carries code; it is executed only with --unsafe-lambda",
    "Layer": "the base class; it computes nothing",
    "MaxNumBoundingBoxes": "takes labels with bounding boxes, which exist in training only",
    "TFSMLayer": "loads a SavedModel from the disk; convert that SavedModel itself",
    "TorchModuleWrapper": "runs code of another framework, which is not part of the model",
    "Wrapper": "the base class of layers that hold another; it computes nothing",
}

CASES: tuple[Case, ...] = tuple(
    case for family in _FAMILIES for case in import_module(f"tests.conformance.families.{family}").cases()
)


def find(pattern: str) -> list[Case]:
    """The cases whose name holds a match of the regular expression."""
    return [case for case in CASES if re.search(pattern, case.id)]
