"""Which versions of a model are served, and which of them answers by default: decided from facts, without doing it."""

from collections.abc import Collection, Iterable

from edgepack.runtime.serve.state import STABLE, ModelState

Policy = int | str | tuple[str, ...]
"""The latest N, `all`, or those listed."""


def wanted(versions: Iterable[int], bad: Collection[int], state: ModelState, policy: Policy) -> tuple[int, ...]:
    """The versions that should be loaded, the one that should answer by default first.

    Args:
        versions: Those that lie in the folder.
        bad: Those of them that cannot be taken.
        state: What was decided about the model.
        policy: How many are served.
    """
    if state.unloaded:
        return ()
    sound = sorted(set(versions) - set(bad), reverse=True)
    allowed = [version for version in sound if allows(policy, version)]
    fresh = [version for version in allowed if version not in state.away]
    kept = set(fresh[:policy] if isinstance(policy, int) else allowed)
    kept.update(version for version in (*state.labels.values(), *state.asked) if version in sound)
    kept.update(in_order(fresh, state)[:1])  # what stands in for a stable version that is gone
    return tuple(version for version in in_order(kept, state) if version not in state.out)


def allows(policy: Policy, version: int) -> bool:
    """Whether a policy has anything for this version; the latest N may be any."""
    return not isinstance(policy, tuple) or str(version) in policy


def in_order(versions: Iterable[int], state: ModelState) -> list[int]:
    """Versions as they should answer by default: the stable one, those below it, those above; rolled back ones last."""
    stable = state.labels.get(STABLE)

    def rank(version: int) -> tuple[bool, bool, int]:
        return version in state.away, stable is not None and version > stable, -version

    return sorted(versions, key=rank)


def before(version: int, versions: Iterable[int], state: ModelState) -> list[int]:
    """The versions a rollback from `version` may go to, the best first."""
    kept_out = {*state.away, *state.out}
    return sorted((one for one in versions if one < version and one not in kept_out), reverse=True)


def told(policy: Policy) -> str:
    """A policy in words."""
    if isinstance(policy, tuple):
        return f"versions {', '.join(policy)}"
    return "all versions" if policy == "all" else f"the latest {policy}"
