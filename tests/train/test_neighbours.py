"""Words beside a word: the cosine of learned vectors."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgepack.quiet import import_keras
from edgepack.runtime.errors import InputError, ModelError
from edgepack.train.neighbours import main, neighbours

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")

_VECTORS = [[9, 9], [9, 9], [1, 0], [2, 0], [1, 1], [-1, 0], [0, 0]]  # padding and the unknown, then the words


@pytest.fixture(scope="module")
def model() -> Any:
    keras = import_keras("builds models", "train")
    text = keras.Input((), dtype="string", name="text")
    words = keras.layers.TextVectorization(split="character", ngrams=(1, 2), output_sequence_length=4)
    words.set_vocabulary(["好", "不 错", "还", "差", "的"])
    embedding = keras.layers.Embedding(7, 2)
    model = keras.Model(text, embedding(words(text)))
    embedding.set_weights([np.array(_VECTORS, np.float32)])
    return model


def test_the_closest_come_first_with_their_cosine(model: Any) -> None:
    found = neighbours(model, "好", 4)
    assert [one.word for one in found] == ["不错", "还", "的", "差"]
    np.testing.assert_allclose([one.similarity for one in found], [1, np.sqrt(0.5), 0, -1], atol=1e-6)


def test_a_run_of_characters_is_asked_for_without_blanks(model: Any) -> None:
    assert neighbours(model, "不错", 1)[0].word == "好"


def test_a_word_without_a_direction_is_near_to_none(model: Any) -> None:
    assert {one.similarity for one in neighbours(model, "的")} == {0.0}


@pytest.mark.parametrize("word", ["坏", "", "[UNK]"])
def test_a_word_the_model_lacks_is_refused(model: Any, word: str) -> None:
    with pytest.raises(InputError, match="is none of the 5 words of this model"):
        neighbours(model, word)


def test_a_model_without_words_is_refused() -> None:
    keras = import_keras("builds models", "train")
    x = keras.Input((2,))
    with pytest.raises(ModelError, match="the model has 0 TextVectorization layers"):
        neighbours(keras.Model(x, keras.layers.Dense(1)(x)), "好")


def test_the_command_prints_them(model: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    model.save(tmp_path / "words.keras")
    assert main([str(tmp_path / "words.keras"), "好", "--count", "2"]) == 0
    assert capfd.readouterr().out == "1.000  不错\n0.707  还\n"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["words.keras", "坏"], "error: '坏' is none"), (["words.keras", "好", "--count", "0"], "error: 0 neighbours"),
     (["nothing.keras", "好"], "error: no model at"), (["bad.keras", "好"], "cannot be read")],
    ids=["another word", "none asked", "no file", "no model"],
)  # fmt: skip
def test_what_the_user_can_mend_is_one_line(
    model: Any, tmp_path: Path, capfd: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    model.save(tmp_path / "words.keras")
    (tmp_path / "bad.keras").write_bytes(b"PK")
    assert main([str(tmp_path / arguments[0]), *arguments[1:]]) == 1
    err = capfd.readouterr().err
    assert message in err
    assert "Traceback" not in err
