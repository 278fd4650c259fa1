"""A model of 4 inputs and 3 outputs as a bare file and as packs, made without a converter."""

from pathlib import Path

import numpy as np
import pytest

from edgepack.runtime.compare import Parity
from edgepack.runtime.manifest import Golden, Manifest, Variant
from edgepack.runtime.pack import encode_array, reference, write_pack
from edgepack.runtime.tensor import TensorSpec

PARITY = Parity(max_abs=0.0, max_rel=0.0, cosine=1.0, snr_db=300.0, agreement=1.0, samples=2)
WEIGHTS = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)


@pytest.fixture(scope="session")
def onnx_bytes() -> bytes:
    onnx = pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    from onnx import TensorProto, helper, numpy_helper

    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "tiny",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 4])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [numpy_helper.from_array(WEIGHTS, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString()
    return data


@pytest.fixture
def bare_file(tmp_path: Path, onnx_bytes: bytes) -> Path:
    path = tmp_path / "tiny.onnx"
    path.write_bytes(onnx_bytes)
    return path


@pytest.fixture
def pack(tmp_path: Path, onnx_bytes: bytes) -> Path:
    """Three variants: two that run, and one whose file no engine can read."""
    rows = np.arange(8, dtype=np.float32).reshape(2, 4)
    files = {
        "models/a.onnx": onnx_bytes,
        "models/b.onnx": onnx_bytes,
        "models/broken.onnx": b"not a model",
        "golden/x.npy": encode_array(rows),
        "golden/y.npy": encode_array(rows @ WEIGHTS),
    }
    refs = {name: reference(name, data) for name, data in files.items()}
    variants = [
        Variant(f"onnx-{precision}", "onnx", precision, refs[f"models/{member}.onnx"], PARITY, 1e-5)
        for precision, member in (("float32", "a"), ("float16", "broken"), ("int8", "b"))
    ]
    manifest = Manifest(
        format_version=1,
        name="tiny",
        inputs=(TensorSpec("x", (None, 4), "float32"),),
        outputs=(TensorSpec("y", (None, 3), "float32"),),
        variants=tuple(variants),
        goldens=(Golden({"x": refs["golden/x.npy"]}, {"y": refs["golden/y.npy"]}),),
    )
    path = tmp_path / "tiny.edgepack"
    write_pack(path, manifest, files)
    return path
