"""The providers of ONNX Runtime: which there are, what they miss, and plugins that are found by what they hold."""

from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack.runtime import engines
from edgepack.runtime.engines import Opening
from edgepack.runtime.engines.onnx_file import batch_names
from edgepack.runtime.engines.onnx_providers import offers, place
from edgepack.runtime.engines.onnx_words import in_words
from edgepack.runtime.errors import EngineError
from tests.conftest import Child
from tests.zoo.packs import ZOO

OFFERS = {offer.name: offer for offer in offers()}
Install = Callable[..., None]


def test_each_provider_is_offered_once() -> None:
    names = [offer.name for offer in offers()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("CPUExecutionProvider", "cpu"), ("CUDAExecutionProvider", "gpu"), ("TensorrtExecutionProvider", "gpu"),
        ("WebGpuExecutionProvider", "gpu"), ("DmlExecutionProvider", "gpu"), ("CoreMLExecutionProvider", "gpu"),
        ("QNNExecutionProvider", "npu"), ("XnnpackExecutionProvider", "cpu"),
    ],
)  # fmt: skip
def test_a_provider_is_of_one_kind(name: str, kind: str) -> None:
    assert OFFERS[name].kind == kind


def test_the_engines_own_cpu_comes_first_and_misses_nothing() -> None:
    first = offers()[0]
    assert (first.name, first.missing()) == (engines.own_cpu("onnx"), "")


@pytest.mark.parametrize("offer", offers()[1:], ids=lambda offer: offer.name)
def test_what_is_missing_says_how_to_get_it(offer: engines.Offer) -> None:
    why = offer.missing()
    assert not why or any(word in why for word in ("pip install", "exists on", "it takes a build of", "there is no"))


def test_a_provider_of_a_build_says_which() -> None:
    assert OFFERS["CUDAExecutionProvider"].missing().endswith("then: pip install onnxruntime-gpu")


def test_without_onnx_runtime_it_is_what_is_missing(child: Child) -> None:
    code = """
from edgepack.runtime.engines import offers
print({offer.missing() for offer in offers("onnx")[1:]})
"""
    done = child(code, without=("onnxruntime",))
    assert done.stdout == """{"onnxruntime is not installed; run: pip install 'edgepack[onnx]'"}\n""", done.stderr


def test_listing_them_loads_nothing(child: Child) -> None:
    code = (
        "import sys\nfrom edgepack.runtime.engines import offers\noffers('onnx')\nprint('onnxruntime' in sys.modules)"
    )
    assert child(code).stdout == "False\n"


def test_a_provider_that_no_build_has_is_refused() -> None:
    with pytest.raises(EngineError, match=r"TpuExecutionProvider is not here: .* no plugin of that name is installed"):
        place(Opening("TpuExecutionProvider"))


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Install:
    """Write a module that child processes find."""
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")

    def write(module: str, text: str) -> None:
        (tmp_path / module).mkdir()
        (tmp_path / module / "__init__.py").write_text(text)

    return write


_OFFERED = """
from edgepack.runtime.engines import offers
for offer in offers("onnx"):
    if not offer.name.endswith("ExecutionProvider") or "acme" in offer.name.lower():
        print(offer.name, offer.kind, offer.missing())
"""
_PLUGIN = "def get_library_path(): return __file__\ndef get_ep_name(): return {!r}\n"


@pytest.mark.parametrize(
    ("module", "text", "line"),
    [
        ("acme_ep_npu", _PLUGIN.format("AcmeExecutionProvider"), "AcmeExecutionProvider npu "),
        ("onnxruntime_ep_acme_gpu", _PLUGIN.format("acme"), "acme gpu "),
        (
            "acme_ep_x",
            "def get_library_path(): return __file__\n'register_execution_provider_library'\n",
            "acme_ep_x cpu ",
        ),
        (
            "acme_ep_broken",
            "def get_ep_name(): return 'acme'\ndef get_library_path(): raise FileNotFoundError('no library')\n",
            "acme cpu package acme_ep_broken is damaged (no library); install it again",
        ),
    ],
    ids=["by-its-own-name", "a-gpu", "by-its-modules-name", "damaged"],
)
def test_a_plugin_that_nobody_knows_is_offered(
    child: Child, install: Install, module: str, text: str, line: str
) -> None:
    install(module, text)
    done = child(_OFFERED)
    assert line in done.stdout.splitlines(), done.stderr


def test_a_module_that_only_sounds_like_a_plugin_is_not_imported(child: Child, install: Install) -> None:
    install("onnxruntime_extensions", "def get_library_path(): ...\nraise SystemExit('imported')\n")
    done = child(_OFFERED)
    assert "extensions" not in done.stdout
    assert done.returncode == 0, done.stderr


def test_a_library_that_is_none_is_refused_with_both_sides(child: Child, install: Install) -> None:
    install("acme_ep_npu", _PLUGIN.format("AcmeExecutionProvider"))
    code = """
import sys, edgepack
from edgepack.runtime.engines import open_file, Opening
try: open_file("onnx", open(sys.argv[1], "rb").read(), Opening("AcmeExecutionProvider"))
except edgepack.EdgepackError as error: print(type(error).__name__, error)
"""
    done = child(code, ZOO / "mlp.onnx")
    assert done.stdout.startswith("EngineError ONNX Runtime "), done.stderr
    assert "acme_ep_npu/__init__.py" in done.stdout
    assert done.stdout.count("\n") == 1


def test_an_option_that_a_plugin_does_not_hold_is_refused(child: Child, install: Install) -> None:
    install("acme_ep_npu", _PLUGIN.format("AcmeExecutionProvider"))
    code = """
import edgepack
from edgepack.runtime.engines import Opening
from edgepack.runtime.engines.onnx_providers import place
try: place(Opening("AcmeExecutionProvider", options={"bogus": "1"}))
except edgepack.EdgepackError as error: print(error)
"""
    assert child(code).stdout.startswith("AcmeExecutionProvider has no option 'bogus': its library does not hold")


@pytest.mark.parametrize(
    ("name", "names"),
    [("mlp.onnx", {"batch"}), ("pair.onnx", {"n"}), ("mlp_batch4.onnx", set()), ("sum.onnx", set())],
)
def test_the_names_of_a_free_batch_are_read_from_the_file(name: str, names: set[str]) -> None:
    assert batch_names((ZOO / name).read_bytes()) == (names, set())


@pytest.mark.parametrize("data", [b"", b"no file", b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"])
def test_a_file_that_is_none_has_no_batch(data: bytes) -> None:
    assert batch_names(data) == (set(), set())


def test_a_batch_without_a_name_is_known_by_its_denotation() -> None:
    from onnx import TensorProto, helper

    value = helper.make_tensor_value_info("x", TensorProto.FLOAT, [None, 4])
    value.type.tensor_type.shape.dim[0].denotation = "DATA_BATCH"
    data = helper.make_model(helper.make_graph([], "g", [value], [value])).SerializeToString()
    assert batch_names(data) == (set(), {"DATA_BATCH"})


def test_what_onnx_runtime_says_is_left_without_its_source() -> None:
    said = (
        "/onnxruntime_src/core/ep.cc:71 virtual T f(const A&) Error creating execution provider: "
        "[ONNXRuntimeError] : 11 : EP_FAIL : /onnxruntime_src/gpu.cc:136 g::Init(const C&)::<lambda()> "
        "status == Success was false. Failed to get an adapter: none"
    )
    assert in_words(RuntimeError(said)) == (
        "Error creating execution provider: [ONNXRuntimeError] : 11 : EP_FAIL : Failed to get an adapter: none"
    )


def test_an_axis_that_is_not_called_a_batch_is_left_free() -> None:
    from onnx import TensorProto, helper

    def inputs(*shape: str) -> bytes:
        value = helper.make_tensor_value_info("x", TensorProto.FLOAT, list(shape))
        data: bytes = helper.make_model(helper.make_graph([], "g", [value], [value])).SerializeToString()
        return data

    assert batch_names(inputs("time", "channels"))[0] == set()
    assert batch_names(inputs("N", "N"))[0] == set()
    assert batch_names(inputs("batch_size", "time"))[0] == {"batch_size"}
    assert batch_names(inputs("unk__7", "time"))[0] == {"unk__7"}
