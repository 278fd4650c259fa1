"""The search as a part of one conversion."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from edgepack.convert.calibrate import Stream
from edgepack.convert.options import Options
from edgepack.convert.plan import Plan
from edgepack.convert.prove import Question
from edgepack.convert.search.asked import Search
from edgepack.convert.search.hunt import Ground
from edgepack.convert.search.key import key_of
from edgepack.convert.search.outcome import Outcome, search
from edgepack.convert.search.repairs import mend
from edgepack.convert.search.store import Store, folder_of
from edgepack.convert.search.trial import Laboratory
from edgepack.convert.source import Source
from edgepack.convert.variants import make_writer
from edgepack.convert.writers import Tools


def find_best(
    plan: Plan,
    source: Source,
    calibration: Stream | None,
    question: Question,
    tools: Tools,
    *,
    asked: tuple[Search, Options],
    provenance: Mapping[str, Any],
    progress: Callable[[int, str], None] | None,
) -> Outcome:
    """Search for the best file of a conversion.

    Args:
        plan: What was asked for.
        source: What of the model is converted.
        calibration: Real samples; None leaves out what needs them.
        question: What every file is held against.
        tools: What writers share; its notes grow by what was given back to which file.
        asked: The budgets, and the options that the user fixed.
        provenance: Where the pack comes from: trials of an earlier search count where that is the same.
        progress: Called with the number of trials done and what is tried next, with the best so far.

    Raises:
        ConvertError: No file meets the budgets; the message has the best that was found.
    """
    wanted, options = asked
    key = key_of(provenance, source, question, plan, asked)
    ground = Ground(
        writers={target: partial(make_writer, target, plan, source, calibration, tools) for target in plan.targets},
        base=options,
        precisions={scheme.precision.name for scheme in plan.schemes},
        search=wanted,
        laboratory=Laboratory(question, Store(folder_of(plan.output), key, tools.notes), wanted.threads),
        calibrated=calibration is not None,
        repair=partial(mend, aim=wanted.aim),
        progress=progress,
    )
    found = search(ground, bare=plan.bare is not None)
    tools.notes.extend(found.notes)
    return found
