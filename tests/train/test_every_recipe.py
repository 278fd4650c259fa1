"""Every recipe, all the way: trained, in both formats, in float32 and 8 bits, and answering raw samples on a device."""

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.quiet import import_keras
from edgepack.runtime.tensor import Array
from edgepack.train import Recipe, TrainResult, find, known, to_pack, train
from edgepack.train.data import Data, Samples, stratified
from tests.conftest import Child

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

EXACT = 1e-5  # of the largest answer, where that is above 1
_FEW, _TESTED = 300, 60

# `edgepack run` where nothing that trains or converts can be found; its answer is the last line.
_RUN = """
import sys
from edgepack.__main__ import main
code = main(["run", *sys.argv[1:], "--variant", "float32", "--json"])
strangers = {name.split(".")[0] for name in sys.modules} & {"tensorflow", "keras", "onnx", "sklearn", "pandas", "scipy"}
assert not strangers, strangers
sys.exit(code)
"""
_WITHOUT = ("tensorflow", "keras", "onnx", "tf2onnx", "sklearn", "pandas", "scipy", "matplotlib", "sktime", "snownlp")


@dataclass(frozen=True)
class Walk:
    """One recipe after a short training on a part of its data."""

    recipe: Recipe
    raw: Data
    result: TrainResult
    pack: Path
    variants: tuple[str, ...]


def _part(recipe: Recipe, samples: Samples, count: int) -> Samples:
    if not recipe.task.is_sorting:
        return samples.take(np.arange(min(count, len(samples))))
    return samples.take(stratified(samples.labels, min(count, len(samples)), np.random.default_rng(0))[0])


@pytest.fixture(scope="module", params=list(known()))
def walk(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Walk:
    whole = find(request.param)
    data = whole.load(None)
    data = replace(data, train=_part(whole, data.train, _FEW), test=_part(whole, data.test, _TESTED))
    recipe = replace(whole, load=lambda path: data, figures=None)
    folder = tmp_path_factory.mktemp(request.param)
    result = train(recipe, folder / "model.keras", epochs=1)
    report = to_pack(recipe, result, folder / "model.edgepack", max_drop=1.0)
    return Walk(recipe, data, result, folder / "model.edgepack", tuple(one.variant for one in report.passed))


def raw_sample(walk: Walk, index: int) -> Any:
    """A test sample as a person has it, before any step; of a recording that is streamed, its first frame."""
    value = walk.raw.test.values[index]
    if isinstance(value, str):
        return str(value)
    return value[0] if walk.recipe.ship else value


def words(walk: Walk, sample: Any, folder: Path) -> list[str]:
    """The words that give a raw sample to `edgepack run`: a text, or a file of its kind."""
    if isinstance(sample, str):
        return ["--text", sample]
    [chain] = walk.result.card.steps.inputs.values()
    path = folder / f"sample{ {'image': '.png', 'row': '.csv', 'series': '.csv'}[chain[0].step] }"
    if path.suffix == ".png":
        from PIL import Image

        Image.fromarray(sample).save(path)
    else:
        np.savetxt(path, np.atleast_2d(sample), delimiter=",", fmt="%.9g")
    return [str(path)]


def of_keras(walk: Walk, index: int) -> dict[str, Array]:
    """The answers of the model that was saved to a test sample, as the evaluation file has it."""
    model = import_keras("loads models", "train").models.load_model(walk.result.files.model)
    with np.load(walk.result.files.evaluation) as file:
        given = {tensor.name: file[tensor.name][index : index + 1] for tensor in model.inputs}
    if walk.recipe.ship:  # the evaluation file has last frames
        given = {"frame": raw_sample(walk, index)[np.newaxis], "memory": np.zeros_like(given["memory"])}
    tensors = [_tensor(array) for array in given.values()]
    found = model(tensors[0] if len(tensors) == 1 else tensors)
    found = found if isinstance(found, (list, tuple)) else [found]
    return dict(zip(model.output_names, map(np.asarray, found), strict=True))


def _tensor(array: Array) -> Any:
    import tensorflow as tf

    return tf.constant(array.tolist() if array.dtype.kind == "U" else array.astype(np.float32))


def test_both_formats_in_float32_and_8_bits_agree_with_keras(walk: Walk) -> None:
    eight_bit = [precision for precision in walk.recipe.precisions if "int8" in precision]
    assert eight_bit
    assert {f"{target}-{precision}" for target in ("tflite", "onnx") for precision in ("float32", *eight_bit)} <= {
        *walk.variants
    }


@pytest.mark.parametrize("index", [0, 7])
@pytest.mark.parametrize("variant", ["tflite-float32", "onnx-float32"])
def test_a_raw_sample_gives_the_same_numbers_through_keras_and_through_the_pack(
    walk: Walk, variant: str, index: int
) -> None:
    wanted = of_keras(walk, index)
    with edgepack.load(walk.pack, variant=variant, threads=1) as session:
        found = session.run(session.prepare([raw_sample(walk, index)]))
    assert found.keys() == wanted.keys()
    for name, array in wanted.items():
        np.testing.assert_allclose(found[name], array, atol=EXACT * max(1.0, float(np.abs(array).max())), rtol=0)


def test_the_command_answers_a_raw_sample_without_anything_that_trains(
    walk: Walk, child: Child, tmp_path: Path
) -> None:
    given = words(walk, raw_sample(walk, 3), tmp_path)
    done = child(_RUN, walk.pack, *given, "--output", tmp_path, without=_WITHOUT)
    assert done.returncode == 0, done.stderr
    [answer] = json.loads(done.stdout)["results"]
    assert answer["result"]


def test_the_card_says_what_the_model_is_for_and_what_not(walk: Walk) -> None:
    card = walk.result.card
    assert len(card.notes) >= 2
    assert all(card.meanings.values())
    assert card.recipe["data"]["sha256"] == walk.raw.sha256
