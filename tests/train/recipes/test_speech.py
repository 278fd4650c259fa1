"""Who is speaking: padding that changes nothing, packs that answer as Keras does, and speech as it comes."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import edgepack
from edgepack.convert import convert_model
from edgepack.quiet import import_keras
from edgepack.runtime.manifest import decode_card
from edgepack.runtime.steps import prepare
from edgepack.runtime.tensor import Array
from edgepack.train import TrainResult, find, train
from edgepack.train.data import Samples
from edgepack.train.datasets.vowels import LONGEST, SPEAKERS, load_vowels
from edgepack.train.recipes import speech_gru

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

RECIPES = ("speech-gru", "speech-stream")
FORMATS = ("tflite", "onnx")
SINGLE = 1e-5  # float32, over up to 29 frames


@pytest.fixture(scope="module")
def test_part() -> Samples:
    return load_vowels().test


@pytest.fixture(scope="module")
def recordings(test_part: Samples) -> list[Array]:
    """One of each speaker without its padding, and the shortest and the longest."""
    lengths = test_part.values.any(axis=2).sum(axis=1)
    chosen = [*(int(np.argmax(test_part.labels == one)) for one in range(9)), lengths.argmin(), lengths.argmax()]
    return [test_part.values[index, : lengths[index]] for index in chosen]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrainResult]:
    """Two epochs of each with seed 7."""
    folder = tmp_path_factory.mktemp("speech")
    return {name: train(find(name), folder / f"{name}.keras", seed=7, epochs=2) for name in RECIPES}


@pytest.fixture(scope="module")
def packs(trained: dict[str, TrainResult]) -> dict[str, Path]:
    return {name: _pack(name, result) for name, result in trained.items()}


def _pack(name: str, result: TrainResult) -> Path:
    path = result.files.model.with_suffix(".edgepack")
    convert_model(
        result.files.model, path, precisions=find(name).precisions, calibration=result.files.calibration,
        evaluation=result.files.evaluation, max_drop=0.005,
    )  # fmt: skip
    return path


def _padded(recording: Array, frames: int) -> Array:
    return np.pad(recording, ((0, frames - len(recording)), (0, 0)))[np.newaxis]


def test_more_padding_changes_no_answer(recordings: list[Array]) -> None:
    keras = import_keras("builds the models", "train")
    keras.utils.set_random_seed(1)
    model = speech_gru.build(None)  # type: ignore[arg-type]
    longer = speech_gru.build(None, frames=75)  # type: ignore[arg-type]
    longer.set_weights(model.get_weights())
    for recording in recordings:
        bare = speech_gru.build(None, frames=len(recording))  # type: ignore[arg-type]
        bare.set_weights(model.get_weights())
        [wanted] = np.asarray(bare(recording[np.newaxis]))
        for one, frames in ((model, speech_gru.FRAMES), (longer, 75)):
            np.testing.assert_allclose(np.asarray(one(_padded(recording, frames)))[0], wanted, atol=SINGLE)


def test_without_its_mask_padding_would_change_the_answer(recordings: list[Array]) -> None:
    keras = import_keras("builds the models", "train")
    model = speech_gru.build(None)  # type: ignore[arg-type]
    x = keras.Input((speech_gru.FRAMES, 12))
    y = x
    for layer in model.layers[2:]:
        y = layer(y)
    padded = _padded(min(recordings, key=len), speech_gru.FRAMES)
    assert np.abs(np.asarray(model(padded)) - np.asarray(keras.Model(x, y)(padded))).max() > 100 * SINGLE


@pytest.mark.parametrize("variant", [f"{name}-float32" for name in FORMATS])
def test_a_pack_answers_a_csv_of_frames_as_keras_answers_the_frames_alone(
    trained: dict[str, TrainResult], packs: dict[str, Path], recordings: list[Array], tmp_path: Path, variant: str
) -> None:
    weights = trained["speech-gru"].model.get_weights()
    with edgepack.load(packs["speech-gru"], variant=variant) as session:
        for number, recording in enumerate(recordings):
            path = tmp_path / f"{number}.csv"
            np.savetxt(path, recording, delimiter=",", fmt="%.9g")  # enough for every float32
            bare = speech_gru.build(None, frames=len(recording))  # type: ignore[arg-type]
            bare.set_weights(weights)
            [wanted] = np.asarray(bare(recording[np.newaxis]))
            found = session.predict(path)
            assert [one.label for one in found] == [SPEAKERS[index] for index in np.argsort(-wanted)[:3]]
            np.testing.assert_allclose([one.score for one in found], np.sort(wanted)[:-4:-1], atol=SINGLE)


@pytest.mark.parametrize("name", RECIPES)
def test_every_precision_of_the_recipe_passes_in_both_formats(packs: dict[str, Path], name: str) -> None:
    with edgepack.load(packs[name]) as session:
        assert session.manifest is not None
        found = {variant.name for variant in session.manifest.variants}
    assert found == {f"{one}-{precision}" for one in FORMATS for precision in find(name).precisions}


def test_what_is_trained_on_went_through_the_steps_of_the_pack(test_part: Samples) -> None:
    steps = prepare(find("speech-gru").steps.inputs["recording"])
    np.testing.assert_array_equal(steps(test_part.values[0])[:LONGEST], test_part.values[0])
    assert steps(test_part.values[0]).shape == (speech_gru.FRAMES, 12)


def test_the_step_that_ships_is_on_the_card_with_its_states(trained: dict[str, TrainResult]) -> None:
    result = trained["speech-stream"]
    card = decode_card(result.files.card.read_bytes())
    assert card.states == {"memory": "next_memory"}
    assert card.steps.inputs.keys() == {"frame"}
    assert card.meanings.keys() == {"frame", "memory", "speaker", "next_memory"}
    loaded = import_keras("loads models", "train").models.load_model(result.files.model)
    assert [one.name for one in loaded.inputs] == ["frame", "memory"]
    for one, other in zip(loaded.get_weights(), result.model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)


def test_the_accuracy_on_the_card_is_that_of_the_step_at_the_last_frame(trained: dict[str, TrainResult]) -> None:
    result = trained["speech-stream"]
    with np.load(result.files.evaluation) as file:
        frames, memory, labels = file["frame"], file["memory"], file["speaker"]
    agreeing = np.asarray(result.model([frames, memory])[0]).argmax(axis=1) == labels
    assert result.card.metrics["test_accuracy"] == pytest.approx(agreeing.mean(), abs=1e-6)  # it is rounded


def test_calibration_knows_every_frame_and_its_memory(trained: dict[str, TrainResult]) -> None:
    with np.load(trained["speech-stream"].files.calibration) as file:
        frames, memory = file["frame"], file["memory"]
    assert len(frames) == np.count_nonzero(load_vowels().train.values.any(axis=2))
    assert frames.any(axis=1).all()
    assert np.count_nonzero(~memory.any(axis=1)) == 270  # nothing is remembered before the first frame


@pytest.fixture(scope="module")
def whole(trained: dict[str, TrainResult]) -> Any:
    """The model of whole recordings with the weights of the step that ships."""
    step = trained["speech-stream"].model
    model = find("speech-stream").build(None)  # type: ignore[arg-type]
    model.get_layer("gru").cell.set_weights(step.get_layer("gru_cell").get_weights())
    model.get_layer("speaker").set_weights(step.get_layer("speaker").get_weights())
    return model


@pytest.mark.parametrize("variant", [f"{name}-float32" for name in FORMATS])
def test_after_the_last_frame_a_stream_says_what_the_whole_recording_says(
    packs: dict[str, Path], recordings: list[Array], whole: Any, variant: str
) -> None:
    with edgepack.load(packs["speech-stream"], variant=variant) as session, session.stream() as stream:
        for recording in recordings:
            for frame in recording:
                found = stream.run(frame[np.newaxis])["speaker"]
            np.testing.assert_allclose(found, np.asarray(whole(recording[np.newaxis])), atol=SINGLE)
            stream.reset()


def test_at_every_moment_a_stream_says_what_was_heard_until_then_says(
    packs: dict[str, Path], recordings: list[Array], whole: Any
) -> None:
    recording = recordings[0]
    with edgepack.load(packs["speech-stream"]) as session, session.stream() as stream:
        for heard, frame in enumerate(recording, 1):
            found = stream.run(frame[np.newaxis])["speaker"]
            np.testing.assert_allclose(found, np.asarray(whole(recording[np.newaxis, :heard])), atol=SINGLE)


def test_raw_frames_of_a_stream_and_a_file_of_them_have_the_same_answers(
    packs: dict[str, Path], recordings: list[Array], tmp_path: Path
) -> None:
    lines = [",".join(f"{number:.9g}" for number in frame) for frame in recordings[0]]
    path = tmp_path / "recording.csv"
    path.write_text("\n".join(lines))
    with edgepack.load(packs["speech-stream"]) as session:
        with session.stream() as stream:
            found = [stream.predict(line) for line in lines]
        assert session.predict(path) == found
        assert session.predict(lines[0]) == found[0]
        assert session.predict(lines[-1]) != found[-1]  # alone it is the first of a recording
    assert len(found[0]) == 3
    assert {one.label for one in found[0]} <= set(SPEAKERS)


@pytest.mark.slow
@pytest.mark.parametrize("name", RECIPES)
def test_three_seeds_know_95_percent_of_the_speakers_and_so_does_each_8_bit_file(
    name: str, test_part: Samples, tmp_path: Path
) -> None:
    accuracies = []
    for seed in range(3):
        result = train(find(name), tmp_path / f"{name}-{seed}.keras", seed=seed)
        accuracies.append(result.card.metrics["test_accuracy"])
        assert result.card.metrics["train_seconds"] < 180  # on 2 cores
    assert np.mean(accuracies) >= 0.95, accuracies
    path = _pack(name, result)
    for variant in (f"{one}-{precision}" for one in FORMATS for precision in find(name).precisions):
        with edgepack.load(path, variant=variant) as session:
            found = _heard(session, test_part.values)
        right = (found.argmax(axis=1) == test_part.labels).mean()
        assert abs(right - accuracies[-1]) <= 0.005, (variant, right)


def _heard(session: edgepack.Session, values: Array) -> Array:
    """The answer to each recording, in a stream where the model is one step."""
    if len(session.inputs) == 1:
        return session.run(np.pad(values, ((0, 0), (0, speech_gru.FRAMES - LONGEST), (0, 0))))["speaker"]
    is_frame = values.any(axis=2)
    answers = np.zeros((len(values), len(SPEAKERS)), np.float32)
    with session.stream() as stream:
        for time in range(LONGEST):
            heard = stream.run(values[:, time])["speaker"]
            answers[is_frame[:, time]] = heard[is_frame[:, time]]
    return answers
