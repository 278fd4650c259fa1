"""Layers and functions of the user's own: from the user's own modules, never from the model file."""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.convert import convert_model
from edgepack.convert.source import open_source
from edgepack.runtime.errors import InputError, ModelError

_MODULE = '''
"""Layers of a user."""
import keras

SIZE = 3


class Half(keras.layers.Layer):
    def call(self, inputs):
        return inputs * 0.5


@keras.saving.register_keras_serializable(package="mine")
class Scaled(keras.layers.Layer):
    def __init__(self, factor=2.0, **kwargs):
        super().__init__(**kwargs)
        self.factor = factor

    def build(self, shape):
        self.shift = self.add_weight(name="shift", shape=(shape[-1],), initializer="ones")

    def call(self, inputs):
        return inputs * self.factor + self.shift

    def get_config(self):
        return {**super().get_config(), "factor": self.factor}


class Tower(keras.Model):
    def __init__(self, units=2, **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.dense = keras.layers.Dense(units)

    def call(self, inputs):
        return self.dense(inputs)

    def get_config(self):
        return {**super().get_config(), "units": self.units}


class Other:
    pass


def squared(x):
    return x * x
'''


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, keras: Any) -> Iterator[Path]:
    """The folder the command runs in, with a module of the user's in it that no one has imported."""
    (tmp_path / "my_layers.py").write_text(_MODULE)
    (tmp_path / "my_broken.py").write_text("import nothing_of_that_name\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    _forget()


def _forget() -> None:
    """As if nobody had imported the user's module."""
    import keras

    sys.modules.pop("my_layers", None)
    for name in [name for name in keras.saving.get_custom_objects() if name.startswith("mine>")]:
        keras.saving.get_custom_objects().pop(name)


def _saved(path: Path, name: str) -> Path:
    """A model with the user's class or function in it, saved; the module is forgotten again."""
    import keras

    sys.path.insert(0, str(path.parent))
    try:
        import my_layers  # type: ignore[import-not-found]
    finally:
        sys.path.pop(0)
    found = getattr(my_layers, name)
    x = keras.Input((3,), name="x")
    if name == "squared":
        model = keras.Model(x, keras.layers.Dense(2, activation=found, name="y")(x))
    elif name == "Tower":
        model = found(name="y")
        model(np.zeros((1, 3), np.float32))
    else:
        model = keras.Model(x, found(name="y")(x))
    model.save(path)
    _forget()
    return path


@pytest.mark.parametrize("ending", [".keras", ".h5"])
@pytest.mark.filterwarnings("ignore")  # Keras calls .h5 legacy
def test_a_layer_of_the_user_s_is_found_by_module_and_name(mine: Path, ending: str) -> None:
    source = open_source(_saved(mine / f"m{ending}", "Half"), custom=["my_layers:Half"])
    np.testing.assert_array_equal(source.predict({"x": np.float32([[1, 2, 3]])})["y"], [[0.5, 1, 1.5]])


def test_a_class_registered_in_a_package_is_found_by_its_plain_name(mine: Path) -> None:
    source = open_source(_saved(mine / "m.keras", "Scaled"), custom=["my_layers:Scaled"])
    np.testing.assert_array_equal(source.predict({"x": np.float32([[1, 2, 3]])})["y"], [[3, 5, 7]])


def test_a_class_saved_in_a_package_is_found_where_the_module_names_none(mine: Path) -> None:
    path = _saved(mine / "m.keras", "Scaled")
    plain = _MODULE.replace('@keras.saving.register_keras_serializable(package="mine")', "")
    (mine / "my_plain.py").write_text(plain)
    source = open_source(path, custom=["my_plain:Scaled"])
    np.testing.assert_array_equal(source.predict({"x": np.float32([[1, 2, 3]])})["y"], [[3, 5, 7]])


def test_a_function_of_the_user_s_is_an_activation(mine: Path) -> None:
    source = open_source(_saved(mine / "m.keras", "squared"), custom=["my_layers:squared"])
    assert (source.predict({"x": np.float32([[1, -2, 3]])})["y"] >= 0).all()


def test_a_model_class_of_the_user_s_tells_its_inputs_by_how_it_was_called(mine: Path) -> None:
    source = open_source(_saved(mine / "m.keras", "Tower"), custom=["my_layers:Tower"])
    assert [str(spec) for spec in source.inputs] == ["inputs: float32 (any, 3)"]
    assert source.predict({"inputs": np.zeros((2, 3), np.float32)})["y"].shape == (2, 2)


def test_files_come_out_right(mine: Path) -> None:
    report = convert_model(_saved(mine / "m.keras", "Scaled"), mine / "m.edgepack", custom=["my_layers:Scaled"])
    assert len(report.passed) == 2


def test_without_it_the_message_says_what_to_pass(mine: Path) -> None:
    with pytest.raises(ModelError, match=r"has 'Half', which Keras does not know here; pass .* --custom module:Half"):
        open_source(_saved(mine / "m.keras", "Half"))


def test_a_module_is_not_imported_because_a_file_names_it(mine: Path) -> None:
    path = _saved(mine / "m.keras", "Half")
    with pytest.raises(ModelError):
        open_source(path)
    assert "my_layers" not in sys.modules


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("my_layers", "'my_layers' is not module:name; write my_layers:Attention"),
        ("my_layers:", "is not module:name"),
        ("no_such_module:Half", r"the module does not import here \(ModuleNotFoundError: No module named 'no_such"),
        ("my_broken:Half", r"does not import here \(ModuleNotFoundError: No module named 'nothing_of_that_name'"),
        ("my_layers:Quarter", r"my_layers has no Quarter \(it defines Half, Scaled, Tower, Other, squared\)"),
        ("my_layers:Other", "Other is a class of object; it takes a class of layers"),
        ("my_layers:SIZE", "SIZE is int '3'; it takes a class of layers"),
    ],
)
def test_what_cannot_be_used_is_told(mine: Path, name: str, reason: str) -> None:
    with pytest.raises(InputError, match=reason):
        open_source(mine / "m.keras", custom=[name])


def test_the_user_s_folder_does_not_stay_on_the_path(mine: Path) -> None:
    before = list(sys.path)
    open_source(_saved(mine / "m.keras", "Half"), custom=["my_layers:Half"])
    assert sys.path == before
