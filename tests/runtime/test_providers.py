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
    assert providers.resolve("onnx", asked).names == found


def test_an_unknown_provider_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider 'tpu' \(known: auto, cpu, gpu, npu, .*XNNPACK\)"):
        providers.resolve("onnx", "tpu")


@pytest.mark.parametrize("asked", ["gpu", "XNNPACK", ["gpu", "npu"]], ids=["kind", "of-another", "several"])
def test_a_provider_that_cannot_run_is_an_error(asked: str | list[str]) -> None:
    with pytest.raises(ProviderError, match=r"available: cpu"):
        providers.resolve("onnx", asked)


def test_no_provider_at_all_is_an_unknown_one() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider '' \(known: auto, cpu"):
        providers.resolve("onnx", [])


def test_what_was_passed_over_is_told() -> None:
    assert providers.resolve("onnx", ["gpu", "cpu"]).passed_over == (
        "provider 'gpu': this release runs engine 'onnx' on the CPU only",
    )


def test_what_comes_behind_one_that_runs_is_not_missed() -> None:
    assert providers.resolve("onnx", ["cpu", "gpu"]).passed_over == ()


@pytest.mark.parametrize("engine", engines.known())
def test_every_engine_runs_on_the_cpu(engine: str) -> None:
    assert "cpu" in providers.of_engine(engine).values()
