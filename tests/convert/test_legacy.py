"""Files of Keras 2: they give the answers they gave, or are refused by layer and key."""

import io
import json
import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from edgepack.convert import convert_model
from edgepack.convert.source import Source, open_source
from edgepack.runtime.errors import ModelError, UnsafeModelError
from tests.convert.keras2_models import CUSTOM, H5_ONLY, KERAS_ONLY, MODELS

pytestmark = [
    pytest.mark.skipif(not find_spec("tf_keras"), reason="tf-keras, which saves such files, is not installed"),
    pytest.mark.filterwarnings("ignore:Layer .* does not support masking:UserWarning"),
]

_ROOT = Path(__file__).parents[2]
_FILES = [f"{name}.h5" for name in MODELS if name not in KERAS_ONLY]
_FILES += [f"{name}.keras" for name in MODELS if name not in H5_ONLY]
_CLOSE = 1e-5  # relative, float32
_CLOSE_TO_HALF = 1e-3  # where Keras 2 rounded to float16, and we do not


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every model, saved by tf-keras in a process of its own: two Keras do not mix in one."""
    path = tmp_path_factory.mktemp("keras2")
    made = subprocess.run(
        [sys.executable, "-m", "tests.convert.keras2_models", str(path)],
        cwd=_ROOT, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert made.returncode == 0, made.stderr
    return path


def _answers(source: Source, folder: Path, name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """What Keras 2 answered, and what the model loaded here answers."""
    import tensorflow as tf

    with np.load(folder / f"{name}.npz") as stored:
        inputs = [tf.constant(stored[f"in_{index}"]) for index in range(len(source.inputs))]
        wanted = [stored[key] for key in sorted((key for key in stored if key.startswith("out_")), key=_number)]
    return wanted, [np.asarray(output) for output in source.call(inputs).values()]


def _number(key: str) -> int:
    return int(key.partition("_")[2])


def _assert_close(wanted: list[np.ndarray], got: list[np.ndarray], close: float = _CLOSE) -> None:
    assert [one.shape for one in got] == [one.shape for one in wanted]
    for one, other in zip(wanted, got, strict=True):
        np.testing.assert_allclose(other, one, rtol=0, atol=close * max(1.0, float(abs(one.astype(float)).max())))


@pytest.mark.parametrize("file", _FILES)
def test_a_keras_2_file_gives_the_answers_it_gave(folder: Path, file: str) -> None:
    name = Path(file).stem
    close = _CLOSE_TO_HALF if name == "half precision" else _CLOSE
    _assert_close(*_answers(open_source(folder / file, custom=CUSTOM.get(name, ())), folder, name), close)


@pytest.mark.parametrize("name", ["arithmetic", "bidirectional", "every activation", "masks that differ", "attention"])
def test_what_was_repaired_stays_so_in_a_copy_of_the_model(folder: Path, keras: Any, name: str) -> None:
    model = open_source(folder / f"{name}.h5").model
    copy = keras.models.clone_model(model)
    copy.set_weights(model.get_weights())
    _assert_close(*_answers(open_source(copy), folder, name))


def test_names_and_order_are_the_file_s(folder: Path) -> None:
    source = open_source(folder / "several inputs and outputs.h5")
    assert [spec.name for spec in source.inputs] == ["facts", "image"]
    assert [spec.name for spec in source.outputs] == ["size", "kind"]


def test_a_dictionary_s_keys_are_the_names(folder: Path) -> None:
    source = open_source(folder / "dictionaries.keras")
    assert [spec.name for spec in source.inputs] == ["alpha", "zeta"]
    assert [spec.name for spec in source.outputs] == ["first", "second"]


def test_keras_s_own_loader_is_wrong_about_hard_sigmoid_without_a_word(folder: Path, keras: Any) -> None:
    """Why the name is mapped: this is what a file gives that only seems to load."""
    wanted, _ = _answers(open_source(folder / "bidirectional.keras"), folder, "bidirectional")
    x = np.linspace(-4, 4, 9, dtype=np.float32)
    theirs = np.asarray(keras.activations.hard_sigmoid(keras.ops.convert_to_tensor(x)))
    assert np.abs(theirs - np.clip(0.2 * x + 0.5, 0, 1)).max() > 0.05
    assert wanted


def test_an_old_lstm_becomes_proved_files(folder: Path, tmp_path: Path) -> None:
    report = convert_model(folder / "dense.h5", tmp_path / "dense.edgepack")
    assert [one.variant for one in report.passed] == ["tflite-float32", "onnx-float32"]


def _edited(folder: Path, tmp_path: Path, name: str, edit: Callable[[dict[str, Any]], Any]) -> Path:
    """A copy of a `.h5` file with another config; the edit gets the config and may give a new one."""
    path = tmp_path / "edited.h5"
    path.write_bytes((folder / f"{name}.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        file.attrs["model_config"] = json.dumps(edit(config) or config)
    return path


def _layers(config: dict[str, Any], kind: str) -> list[dict[str, Any]]:
    return [layer["config"] for layer in config["config"]["layers"] if layer["class_name"] == kind]


def _as_keras_2_2(config: dict[str, Any]) -> dict[str, Any]:
    """The config as Keras 2.2 wrote it: a list of layers, the first with the shape of the input, old initializers."""
    inputs, *layers = config["config"]["layers"]
    layers[0]["config"]["batch_input_shape"] = inputs["config"]["batch_input_shape"]
    for layer in layers:
        layer.pop("module", None)
        layer.pop("registered_name", None)
        if "kernel_initializer" in layer["config"]:
            scaling = {"scale": 1.0, "mode": "fan_avg", "distribution": "uniform", "seed": None, "dtype": "float32"}
            layer["config"]["kernel_initializer"] = {"class_name": "VarianceScaling", "config": scaling}
    return {"class_name": "Sequential", "config": layers}


def _as_tensorflow_1(config: dict[str, Any]) -> dict[str, Any]:
    """The same with a name, as tf.keras wrote it until TensorFlow 2.2."""
    return {"class_name": "Sequential", "config": {"name": "old", "layers": _as_keras_2_2(config)["config"]}}


@pytest.mark.parametrize("written", [_as_keras_2_2, _as_tensorflow_1])
@pytest.mark.parametrize("name", ["dense", "pooled", "lstm", "sequences of convolutions"])
def test_a_list_of_layers_from_keras_2_2_loads(
    folder: Path, tmp_path: Path, name: str, written: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    path = _edited(folder, tmp_path, name, written)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "2.2.4"
    source = open_source(path)
    _assert_close(*_answers(source, folder, name))
    assert source.inputs[0].name.endswith("_input")


def test_bilinear_resizing_of_keras_2_2_is_refused(folder: Path, tmp_path: Path) -> None:
    path = _edited(folder, tmp_path, "convolutions", lambda _: None)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = "2.2.4"
    with pytest.raises(ModelError, match="resizes bilinearly by corners instead of centers"):
        open_source(path)


def test_a_model_class_from_keras_2_2_loads(folder: Path, tmp_path: Path) -> None:
    path = _edited(folder, tmp_path, "shared layers", lambda config: config.update(class_name="Model"))
    _assert_close(*_answers(open_source(path), folder, "shared layers"))


def _set(kind: str, key: str, value: Any) -> Callable[[dict[str, Any]], None]:
    return lambda config: _layers(config, kind)[0].update({key: value})


def _lambda(config: dict[str, Any]) -> None:
    layer = config["config"]["layers"][-1]
    layer["class_name"] = "Lambda"
    layer["config"] = {"name": "y", "function": ["4wEAAAA=\n", None, None], "function_type": "lambda", "arguments": {}}


def _as(index: int, kind: str) -> Callable[[dict[str, Any]], None]:
    return lambda config: config["config"]["layers"][index].update(class_name=kind)


# what is wrong -> model, edit, and what the message says
_REFUSED: dict[str, tuple[str, Callable[[dict[str, Any]], Any], str]] = {
    "groups": (
        "convolutions", _set("DepthwiseConv2D", "groups", 2),
        r"layer 'depthwise_conv2d' \(DepthwiseConv2D\) has groups=2, which Keras 3 has no word for",
    ),
    "time major": ("lstm", _set("LSTM", "time_major", True), r"layer 'lstm' \(LSTM\) has time_major=True"),
    "virtual batch": ("convolutions", _set("BatchNormalization", "virtual_batch_size", 2), "has virtual_batch_size=2"),
    "activation": (
        "dense", _set("Dense", "activation", "my_own"),
        "has the activation 'my_own', which is unknown here; pass --custom module:my_own",
    ),
    "class": ("dense", _as(1, "LocallyConnected1D"), r"\(LocallyConnected1D\) is of a class that Keras 3 does not"),
    "function": ("arithmetic", _set("TFOpLambda", "function", "io.read_file"), "calls tf.io.read_file, which is not"),
    "path": ("arithmetic", _set("TFOpLambda", "function", "keras.utils.get_file"), "calls tf.keras.utils.get_file"),
    "model": (
        "several inputs and outputs", lambda config: config.update(class_name="Mine"), "is of class Mine, whose code"
    ),
    "too few": (
        "dense", lambda config: config["config"]["layers"].__delitem__(-1),
        "holds weights for a layer 'y' that its model does not have",
    ),
    "too small": ("dense", _set("Dense", "units", 5), "kernel:0 with 128 values where at most 80 fit"),
}  # fmt: skip


@pytest.mark.parametrize(("name", "edit", "reason"), _REFUSED.values(), ids=_REFUSED)
def test_what_cannot_be_repaired_is_refused_by_layer_and_key(
    folder: Path, tmp_path: Path, name: str, edit: Callable[[dict[str, Any]], Any], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason) as caught:
        open_source(_edited(folder, tmp_path, name, edit))
    assert "\n" not in str(caught.value)


def test_a_lambda_layer_is_refused_with_what_to_do(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsafeModelError, match=r"layer 'y' \(Lambda\) .* replace the layer, or pass --unsafe-lambda"):
        open_source(_edited(folder, tmp_path, "dense", _lambda))


def test_a_layer_of_the_user_s_is_asked_for(folder: Path) -> None:
    with pytest.raises(
        ModelError, match=r"layer 'shifted' \(Shifted\) is of a class that Keras 3 does not have; .*--custom"
    ):
        open_source(folder / "layer of the user s.h5")


def _changed(folder: Path, tmp_path: Path, change: Callable[[h5py.File], None]) -> Path:
    path = tmp_path / "changed.h5"
    path.write_bytes((folder / "nested with batch normalization.h5").read_bytes())
    with h5py.File(path, "r+") as file:
        change(file)
    return path


def _swap_names(file: h5py.File) -> None:
    names = list(file["model_weights/inner"].attrs["weight_names"])
    names[2], names[3] = names[3], names[2]
    file["model_weights/inner"].attrs["weight_names"] = names


def _link_out(file: h5py.File) -> None:
    del file["model_weights/dense"]
    file["model_weights/dense"] = h5py.ExternalLink("/etc/passwd", "/")


def _blow_up(file: h5py.File) -> None:
    group = file["model_weights/dense/dense"]
    del group["bias:0"]
    group.create_dataset("bias:0", shape=(1 << 40,), dtype="f4", chunks=(1 << 20,))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (_swap_names, r"holds .*/beta:0 for layer 'inner' where Keras 3 has .*/gamma"),
        (_link_out, r"holds no dense where its layers need it"),
        (_blow_up, r"holds .*bias:0 with 1,099,511,627,776 values where at most 6 fit"),
        (
            lambda file: file["model_weights"].attrs.__setitem__("layer_names", [b"dense"]),
            r"holds no weights for inner",
        ),
        (lambda file: file.attrs.__delitem__("model_config"), r"holds weights alone; build the model"),
        (lambda file: file.attrs.modify("keras_version", "1.2.2"), r"was written by Keras 1; load it with Keras 2.2"),
        (lambda file: file.attrs.modify("backend", "theano"), r"was saved on theano, which turns kernels around"),
    ],
    ids=["swapped", "link", "oversized", "lacking", "weights alone", "Keras 1", "Theano"],
)
def test_weights_that_do_not_fit_are_refused(
    folder: Path, tmp_path: Path, change: Callable[[h5py.File], None], reason: str
) -> None:
    with pytest.raises(ModelError, match=reason):
        open_source(_changed(folder, tmp_path, change))


@pytest.mark.parametrize("name", ["moving pictures", "masks in nested models", "cells"])
def test_the_first_keras_files_kept_layers_under_another_name(folder: Path, tmp_path: Path, name: str) -> None:
    """Keras 2.12 wrote `_layer_checkpoint_dependencies` where later ones write `layers`."""
    path = tmp_path / "first.keras"
    with zipfile.ZipFile(folder / f"{name}.keras") as old, zipfile.ZipFile(path, "w") as new:
        for entry in old.namelist():
            data = old.read(entry)
            new.writestr(entry, _with_old_groups(data) if entry == "model.weights.h5" else data)
    _assert_close(*_answers(open_source(path), folder, name))


def _with_old_groups(data: bytes) -> bytes:
    kept = io.BytesIO()
    with h5py.File(io.BytesIO(data)) as old, h5py.File(kept, "w") as new:

        def copy(name: str, item: Any) -> None:
            renamed = "/".join(
                "_layer_checkpoint_dependencies" if part == "layers" else part for part in name.split("/")
            )
            if isinstance(item, h5py.Dataset):
                new[renamed] = item[()]
            else:
                new.require_group(renamed)

        old.visititems(copy)
    return kept.getvalue()


@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
@pytest.mark.parametrize("ending", [".h5", ".keras"])
def test_a_truncated_file_is_no_traceback(folder: Path, tmp_path: Path, ending: str, share: float) -> None:
    data = (folder / f"lstm{ending}").read_bytes()
    (tmp_path / f"cut{ending}").write_bytes(data[: int(len(data) * share)])
    with pytest.raises(ModelError, match=rf"cut{ending}"):
        open_source(tmp_path / f"cut{ending}")
