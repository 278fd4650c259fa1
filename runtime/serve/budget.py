"""Memory for models: what each costs, and which idle ones make room."""

from collections.abc import Iterable

from edgepack.runtime.serve.models import Model, Slot


class Budget:
    """How much memory the models of this process may take together.

    A model costs what the process grew by while it was loaded and warmed, the most that was ever seen, and at least
    the bytes of the variant that runs: memory that an earlier model gave back is used again without any growth.

    Args:
        memory_mb: Megabytes of 2**20 bytes; None is no limit.
    """

    def __init__(self, memory_mb: int | None) -> None:
        self._bytes = None if memory_mb is None else memory_mb * 2**20

    def fits(self, model: Model, slot: Slot, models: Iterable[Model]) -> bool:
        """Whether a version can be loaded beside those that are."""
        if self._bytes is None:
            return True
        return _used(models) + _expected(model, slot) <= self._bytes

    def idle(self, models: Iterable[Model], sparing: Slot) -> tuple[Model, Slot] | None:
        """What is loaded, has no request and was not used for longest; None where everything is busy."""
        found = [
            (slot.served.used, model.name, slot.version, model, slot)
            for model in models for slot in model.loaded
            if slot.served and not slot.served.in_flight and not slot.claims and slot is not sparing
        ]  # fmt: skip
        return min(found)[3:] if found else None


def grown(slot: Slot, growth_bytes: int) -> int:
    """What a version that was just loaded costs."""
    served = slot.served
    sizes = [growth_bytes, slot.cost]
    if served is not None and served.session.manifest is not None:
        sizes += [one.file.size_bytes for one in served.session.manifest.variants if one.name == served.session.variant]
    return max(sizes)


def _used(models: Iterable[Model]) -> int:
    return sum(slot.cost for model in models for slot in model.loaded)


def _expected(model: Model, slot: Slot) -> int:
    """What loading is expected to cost: as before, else as another version of the model, else the size of the pack."""
    return slot.cost or max((one.cost for one in model.slots.values()), default=0) or slot.place.size_bytes
