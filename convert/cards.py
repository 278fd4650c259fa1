"""The card of a model: found beside it, and held against it before anything is built on it."""

import os
from pathlib import Path
from typing import Any

from edgepack.convert.source import Source
from edgepack.runtime.about import About
from edgepack.runtime.errors import DataError, EdgepackError
from edgepack.runtime.manifest import FORMAT_VERSION, Card, decode_card
from edgepack.runtime.steps import prepare
from edgepack.runtime.tensor import TensorSpec


def find_card(card: Card | str | os.PathLike[str] | None, model: Any, source: Source) -> Card | None:
    """The card given, or the one that lies beside the model file, if it fits the model.

    Args:
        card: A card, or the path of one; None looks for `NAME.card.json` beside the model.
        model: What was handed to `convert_model`.
        source: The model that was loaded from it.

    Raises:
        DataError: The card cannot be read, speaks of other inputs or outputs, has a step that cannot run, or another
            number of labels than the model has classes.
    """
    name = "the card"
    if not isinstance(card, Card):
        path = _path(card, model)
        if path is None:
            return None
        name, card = f"card {path}", _read(path)
    for kind, steps, specs in (
        ("input", card.steps.inputs, source.inputs),
        ("output", card.steps.outputs, source.outputs),
    ):
        _check_names(name, f"steps for {kind}", steps, specs)
        for chain in steps.values():
            _check_steps(name, chain)
    _check_names(name, "labels for output", card.labels, source.outputs)
    _check_names(name, "meanings of", card.meanings, (*source.inputs, *source.outputs))
    for spec in source.outputs:
        _check_labels(name, card, spec)
    return card


def about_file(name: str, card: Card | None) -> About:
    """What every file of the model says of itself; labels that a card gives to its steps alone are the output's too."""
    import edgepack

    card = card or Card(format_version=FORMAT_VERSION, name=name)
    in_steps = {
        output: tuple(step.options["labels"])
        for output, chain in card.steps.outputs.items()
        for step in chain
        if "labels" in step.options
    }
    return About(edgepack.__version__, name, in_steps | card.labels, card.meanings)


def _path(card: str | os.PathLike[str] | None, model: Any) -> Path | None:
    if card is not None:
        return Path(card)
    beside = Path(model).with_suffix(".card.json") if isinstance(model, (str, os.PathLike)) else None
    return beside if beside and beside.exists() else None


def _read(path: Path) -> Card:
    try:
        return decode_card(path.read_bytes())
    except OSError as error:
        raise DataError(f"card {path} cannot be read: {error.strerror}; check the path") from error
    except EdgepackError as error:
        raise DataError(f"card {path}: {error}") from error


def _check_names(card: str, what: str, given: Any, specs: tuple[TensorSpec, ...]) -> None:
    names = [spec.name for spec in specs]
    for name in given:
        if name not in names:
            raise DataError(f"{card} has {what} {name!r}; the model has {', '.join(map(repr, names))}: mend the card")


def _check_steps(card: str, chain: Any) -> None:
    try:
        prepare(chain)
    except EdgepackError as error:
        raise DataError(f"{card}: {error}") from error


def _check_labels(card: str, found: Card, spec: TensorSpec) -> None:
    """Labels, where there are any, are as many as the output's last axis is long, wherever they are written.

    One number decides between two: no and yes.
    """
    classes = spec.shape[-1] if spec.shape else None
    lists = [found.labels[spec.name]] if spec.name in found.labels else []
    lists += [step.options["labels"] for step in found.steps.outputs.get(spec.name, ()) if "labels" in step.options]
    for labels in lists:
        if classes is not None and len(labels) != classes and (classes, len(labels)) != (1, 2):
            raise DataError(
                f"{card} has {len(labels)} labels for output {spec.name!r}, which has {classes} classes: mend the card"
            )
