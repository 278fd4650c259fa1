"""Providers: what was asked, what there is."""

import pytest

from edgepack.runtime import engines, providers
from edgepack.runtime.errors import UnknownNameError


@pytest.mark.parametrize("name", ["auto", "cpu", "CPUExecutionProvider"])
def test_the_cpu_is_the_engine_itself(name: str) -> None:
    assert [offer.name for offer in providers.fitting("onnx", name)] == ["CPUExecutionProvider"]


def test_a_provider_of_another_engine_does_not_fit() -> None:
    assert providers.fitting("onnx", "XNNPACK") == ()


@pytest.mark.parametrize(
    ("asked", "names"),
    [("auto", ("auto",)), (["gpu", "cpu"], ("gpu", "cpu")), (("cpu", "cpu"), ("cpu",))],
    ids=["one", "several", "twice"],
)
def test_names_keep_the_order_they_are_asked_in(asked: str | list[str], names: tuple[str, ...]) -> None:
    assert providers.asked(asked) == names


def test_an_unknown_provider_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider 'tpu' \(known: auto, cpu, gpu, npu, .*XNNPACK"):
        providers.asked("tpu")


def test_no_provider_at_all_is_an_unknown_one() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider '' \(known: auto, cpu"):
        providers.asked([])


@pytest.mark.parametrize("engine", engines.known())
def test_every_engine_runs_on_the_cpu(engine: str) -> None:
    assert providers.of_engine(engine)[engines.own_cpu(engine)] == "cpu"
