"""Providers: what was asked, what there is."""

from typing import Any

import pytest

from edgepack.runtime import engines, providers
from edgepack.runtime.errors import InputError, UnknownNameError
from tests.conftest import Child


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


@pytest.mark.parametrize("asked", [[], 5, None, ["cpu", 5]], ids=str)
def test_what_is_no_name_of_a_provider_is_refused(asked: Any) -> None:
    with pytest.raises(InputError, match="provider is"):
        providers.asked(asked)


def test_names_may_be_separated_by_commas() -> None:
    assert providers.asked("gpu, cpu") == ("gpu", "cpu")
    assert providers.asked("delegate:/a,b/libx.so") == ("delegate:/a,b/libx.so",)


@pytest.mark.parametrize("engine", engines.known())
def test_every_engine_runs_on_the_cpu(engine: str) -> None:
    assert providers.of_engine(engine)[engines.own_cpu(engine)] == "cpu"


@pytest.mark.parametrize("engine", engines.known())
def test_a_provider_that_is_missing_says_why_and_how_to_get_it(engine: str) -> None:
    for offer in engines.offers(engine):
        assert offer.kind in providers.KINDS
        why = offer.missing()
        assert not why or any(words in why for words in ("install", "it takes a build", "it exists on"))


@pytest.mark.parametrize(("kind", "name"), [("gpu", "GpuAccelerator"), ("npu", "NpuAccelerator")])
def test_the_accelerators_of_litert_are_offered(kind: str, name: str) -> None:
    assert [offer.name for offer in providers.fitting("litert", kind)] == [name]
    assert [offer.name for offer in providers.fitting("litert", name)] == [name]


def test_without_ai_edge_litert_the_accelerators_say_what_they_need(child: Child) -> None:
    code = """
from edgepack.runtime import engines
for offer in engines.offers("litert"):
    print(offer.kind, offer.missing())
"""
    done = child(code, without=("ai_edge_litert",))
    wanted = "tflite-runtime has no compiled models; where it installs: pip install ai-edge-litert"
    assert done.stdout.splitlines() == ["cpu ", f"gpu {wanted}", f"npu {wanted}"], done.stderr


def test_a_delegate_is_a_provider_of_litert_alone() -> None:
    name = "delegate:libedgetpu.so.1"
    assert providers.asked([name, "cpu"]) == (name, "cpu")
    assert [(offer.name, offer.kind) for offer in providers.fitting("litert", name)] == [(name, "npu")]
    assert providers.fitting("onnx", name) == ()


def test_a_delegate_without_a_path_is_unknown() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown provider 'delegate:' \(known: auto, cpu, gpu, npu, "):
        providers.asked("delegate:")
