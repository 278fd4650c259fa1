"""Providers: what was asked, what there is."""

import pytest

from edgepack.runtime import engines, providers
from edgepack.runtime.errors import ProviderError, UnknownNameError


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        ("auto", ("CPUExecutionProvider",)),
        ("cpu", ("CPUExecutionProvider",)),
        ("CPUExecutionProvider", ("CPUExecutionProvider",)),
        (["gpu", "cpu"], ("CPUExecutionProvider",)),
        (("cpu", "auto"), ("CPUExecutionProvider",)),
    ],
    ids=["auto", "kind", "own-name", "several", "twice"],
)
def test_what_is_asked_becomes_the_engines_own_names(asked: str | list[str], found: tuple[str, ...]) -> None:
    assert providers.resolve("onnx", asked) == found


def test_an_unknown_provider_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider 'tpu' \(known: auto, cpu, gpu, npu, .*XNNPACK\)"):
        providers.resolve("onnx", "tpu")


@pytest.mark.parametrize("asked", ["gpu", "XNNPACK", ["gpu", "npu"], []], ids=["kind", "of-another", "several", "none"])
def test_a_provider_that_cannot_run_is_an_error(asked: str | list[str]) -> None:
    with pytest.raises(ProviderError, match=r"available: cpu"):
        providers.resolve("onnx", asked)


@pytest.mark.parametrize("engine", engines.known())
def test_every_engine_runs_on_the_cpu(engine: str) -> None:
    assert "cpu" in providers.of_engine(engine).values()
