"""Steps: preprocessing and readable results as data, run with numpy alone, the same in training and on the device."""

from collections.abc import Callable, Sequence
from importlib import import_module
from typing import Any

from edgepack.runtime.errors import EdgepackError, PackError, StepError, UnknownNameError
from edgepack.runtime.steps.base import Step, Steps

__all__ = ["Step", "Steps", "known", "prepare"]

# step -> (module, factory). A factory takes the step's options and returns the function that does it.
_STEPS = {
    # What reads a raw sample, and what is done to it.
    "image": ("edgepack.runtime.steps.image", "image"),
    "row": ("edgepack.runtime.steps.row", "row"),
    "series": ("edgepack.runtime.steps.series", "series"),
    "sound": ("edgepack.runtime.steps.recording", "sound"),
    "resize": ("edgepack.runtime.steps.image", "resize"),
    "scale": ("edgepack.runtime.steps.table", "scale"),
    # What makes results of outputs.
    "classify": ("edgepack.runtime.steps.outputs", "classify"),
    "decide": ("edgepack.runtime.steps.outputs", "decide"),
    "number": ("edgepack.runtime.steps.outputs", "number"),
    "picture": ("edgepack.runtime.steps.outputs", "picture"),
    # What Keras's preprocessing layers become, exact to them.
    "take": ("edgepack.runtime.steps.samples", "take"),
    "gather": ("edgepack.runtime.steps.samples", "gather"),
    "tokenize": ("edgepack.runtime.steps.text", "tokenize"),
    "pad": ("edgepack.runtime.steps.text", "pad"),
    "lookup": ("edgepack.runtime.steps.lookup", "lookup"),
    "lookup_inverse": ("edgepack.runtime.steps.lookup", "lookup_inverse"),
    "hash": ("edgepack.runtime.steps.categories", "hash_bins"),
    "cross": ("edgepack.runtime.steps.categories", "cross"),
    "discretize": ("edgepack.runtime.steps.categories", "discretize"),
    "encode": ("edgepack.runtime.steps.categories", "encode"),
    "rescale": ("edgepack.runtime.steps.table", "rescale"),
    "normalize": ("edgepack.runtime.steps.table", "normalize"),
    "interpolate": ("edgepack.runtime.steps.image", "interpolate"),
    "crop": ("edgepack.runtime.steps.image", "crop"),
    "spectrogram": ("edgepack.runtime.steps.sound", "spectrogram"),
    "mel_spectrogram": ("edgepack.runtime.steps.sound", "mel_spectrogram"),
}


def known() -> tuple[str, ...]:
    """Names of all steps."""
    return tuple(_STEPS)


def prepare(steps: Sequence[Step]) -> Callable[[Any], Any]:
    """Return one function that does all `steps` in order; whatever can be worked out once is worked out now.

    Raises:
        UnknownNameError: A step this edgepack does not have (a newer pack).
        PackError: Options the step does not take.
    """
    functions = [(step.step, _bind(step)) for step in steps]

    def run(sample: Any) -> Any:
        for name, function in functions:
            try:
                sample = function(sample)
            except EdgepackError:
                raise
            except (TypeError, ValueError, AttributeError, IndexError, OSError) as error:
                raise StepError(f"step {name!r} cannot take this {type(sample).__name__}: {error}") from error
        return sample

    return run


def _bind(step: Step) -> Callable[[Any], Any]:
    if step.step not in _STEPS:
        raise UnknownNameError("step", step.step, _STEPS, "a newer edgepack may have it: pip install -U edgepack")
    module, factory = _STEPS[step.step]
    try:
        function: Callable[[Any], Any] = getattr(import_module(module), factory)(**step.options)
    except (TypeError, ValueError) as error:
        raise PackError(f"step {step.step!r} does not take these options ({step.options}): {error}") from error
    return function
