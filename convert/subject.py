"""What is converted: the model that was read, its card, and what of it became steps."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgepack.convert import shapes
from edgepack.convert.cards import find_card
from edgepack.convert.lift import Lifted, lift
from edgepack.convert.plan import Plan
from edgepack.convert.source import Source
from edgepack.runtime.manifest import Card
from edgepack.runtime.states import States


@dataclass(frozen=True, slots=True)
class Subject:
    """A model, ready to be converted."""

    model: Any
    """What was handed to `convert_model`: a path, or a model."""
    whole: Source
    """The model as samples are given to it, its free axes fixed where a size was asked."""
    lifted: Lifted | None
    """What of it became steps; None where nothing did."""
    card: Card | None
    name: str
    states: dict[str, str]
    """Inputs that are the model's own state, and the output that is the next value of each."""

    @property
    def rest(self) -> Source:
        """What of the model is converted."""
        return self.lifted.rest if self.lifted else self.whole


def make_subject(
    model: Any,
    source: Source,
    plan: Plan,
    card: Any,
    *,
    states: Mapping[str, str] | None,
    name: str | None,
    lift_all: bool,
) -> Subject:
    """Find what belongs to a model that was read, and refuse what does not fit it before any long work.

    Args:
        model: What was handed to `convert_model`; a card may lie beside it.
        source: The model that was read from it.
        plan: What was asked for.
        card: A card, or the path of one; None looks beside the model.
        states: Its states; None takes the card's.
        name: Its name; None takes the card's, or the model's.
        lift_all: Whether every preprocessing layer at its edge becomes a step that can.

    Raises:
        InputError: Shapes, or pairs of states, that the model cannot have.
        DataError: The card does not fit the model.
    """
    whole = shapes.fixed(source, plan.shapes, plan.batch)
    found = find_card(card, model, whole)
    states = dict((found.states if found else {}) if states is None else states)
    lifted = lift(whole, everything=lift_all)
    subject = Subject(model, whole, lifted, found, name or (found.name if found else whole.name), states)
    States(subject.rest.inputs, subject.rest.outputs, states)
    return subject
