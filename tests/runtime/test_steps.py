"""Steps: images, numbers and readable results, as data."""

import contextlib
import io
import os
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image  # noqa: TID253 - the reference that the steps must match

import edgepack
from edgepack.runtime.errors import EdgepackError, InputError, MissingFileError, PackError, StepError, UnknownNameError
from edgepack.runtime.steps import Step, known, prepare
from edgepack.runtime.tensor import Array
from tests.conftest import Child
from tests.zoo.packs import TOLERANCE, outputs

RNG = np.random.default_rng(3)
COLOURS = RNG.integers(0, 256, (6, 5, 3)).astype(np.uint8)
GREYS = RNG.integers(0, 256, (6, 5)).astype(np.uint8)
EXAMPLES = Path(__file__).parents[2] / "examples" / "digits"


def step(name: str, **options: Any) -> Callable[[Any], Any]:
    return prepare([Step(name, options)])


def png(pixels: Array, mode: str | None = None) -> bytes:
    picture = Image.fromarray(pixels)
    buffer = io.BytesIO()
    (picture.convert(mode) if mode else picture).save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    path = tmp_path / "photo.png"
    path.write_bytes(png(COLOURS))
    return path


# image


def test_every_way_to_hand_over_an_image_gives_the_same_pixels(photo: Path) -> None:
    read = step("image", mode="rgb")
    ways: list[Any] = [
        photo, str(photo), photo.read_bytes(), bytearray(photo.read_bytes()), Image.open(photo), COLOURS
    ]  # fmt: skip
    for way in ways:
        found = read(way)
        assert found.dtype == np.uint8
        np.testing.assert_array_equal(found, COLOURS)


def test_grey_from_colours_is_that_of_pillow() -> None:
    wanted = np.asarray(Image.fromarray(COLOURS).convert("L"))[:, :, np.newaxis]
    for sample in (COLOURS, png(COLOURS), Image.fromarray(COLOURS)):
        np.testing.assert_array_equal(step("image", mode="grayscale")(sample), wanted)


@pytest.mark.parametrize("layout", [lambda x: x[:, ::-1], np.asfortranarray], ids=["mirrored", "fortran"])
def test_an_array_of_any_layout_is_read(layout: Any) -> None:
    view = layout(COLOURS)
    wanted = np.asarray(Image.fromarray(np.ascontiguousarray(view)).convert("L"))
    np.testing.assert_array_equal(step("image", mode="grayscale")(view)[:, :, 0], wanted)


@pytest.mark.parametrize(
    ("pixels", "mode", "shape"),
    [
        (GREYS, "grayscale", (6, 5, 1)), (GREYS, "rgb", (6, 5, 3)), (GREYS[:, :, np.newaxis], "grayscale", (6, 5, 1)),
        (GREYS[:, :, np.newaxis], "rgb", (6, 5, 3)), (COLOURS, "rgb", (6, 5, 3)),
        (np.dstack([COLOURS, GREYS]), "rgb", (6, 5, 3)), (np.dstack([COLOURS, GREYS]), "grayscale", (6, 5, 1)),
    ],
    ids=["grey", "grey-as-rgb", "one-channel", "one-channel-as-rgb", "rgb", "rgba", "rgba-as-grey"],
)  # fmt: skip
def test_arrays_of_pixels_get_the_channels_of_the_mode(pixels: Array, mode: str, shape: tuple[int, ...]) -> None:
    assert step("image", mode=mode)(pixels).shape == shape


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I", "F"])
def test_pictures_of_every_kind_are_read(mode: str) -> None:
    picture = Image.fromarray(COLOURS).convert(mode)
    assert step("image", mode="rgb")(picture).shape == (6, 5, 3)
    assert step("image", mode="grayscale")(picture).shape == (6, 5, 1)


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        (COLOURS / 255, r"uint8 pixels from 0 to 255; this one holds float64: convert it with x\.astype\('uint8'\)"),
        (COLOURS.astype(np.float32), "this one holds float32.*pass a tensor that is prepared already to session.run"),
        (COLOURS.astype(np.int64), "this one holds int64"),
        (GREYS > 9, "this one holds bool"),
    ],
    ids=["scaled", "float32", "int64", "bool"],
)
def test_arrays_that_are_no_pixels_are_refused_with_advice(sample: Array, message: str) -> None:
    with pytest.raises(StepError, match=message):
        step("image")(sample)


@pytest.mark.parametrize("shape", [(6,), (6, 5, 2), (1, 6, 5, 3), ()], ids=str)
def test_arrays_of_another_shape_are_refused_with_both_sides(shape: tuple[int, ...]) -> None:
    with pytest.raises(StepError, match=r"shape \(height, width\) or \(height, width, 1, 3 or 4\); this one \("):
        step("image")(np.zeros(shape, np.uint8))


@pytest.mark.parametrize("sample", [3, 1.5, None, {"a": 1}, object()], ids=["int", "float", "none", "dict", "object"])
def test_what_is_no_image_at_all_is_refused(sample: Any) -> None:
    with pytest.raises(InputError, match="an image comes as a path, bytes, a PIL image or a uint8 array; this is "):
        step("image")(sample)


@pytest.mark.parametrize(
    "data",
    [b"", b"hello, I am text", b"\x89PNG\r\n\x1a\n", b"<svg xmlns='http://www.w3.org/2000/svg'/>", bytes(1000)],
    ids=["empty", "text", "only-the-mark", "svg", "zeros"],
)
def test_bytes_that_are_no_image_are_refused(data: bytes, tmp_path: Path) -> None:
    with pytest.raises(StepError, match="these bytes is not an image that Pillow can read"):
        step("image")(data)
    (tmp_path / "fake.png").write_bytes(data)
    with pytest.raises(StepError, match=r"fake\.png is not an image that Pillow can read"):
        step("image")(tmp_path / "fake.png")


@pytest.mark.parametrize("sixteenths", range(16))
def test_an_image_cut_anywhere_is_refused(sixteenths: int) -> None:
    data = png(COLOURS)[:-12]  # without its end mark
    with pytest.raises(StepError, match="is not an image that Pillow can read"):
        step("image")(data[: len(data) * sixteenths // 16])


def test_an_image_of_any_damage_is_read_or_refused() -> None:
    data, read = png(COLOURS), step("image")
    for seed in range(300):
        rng = np.random.default_rng(seed)
        damaged = bytearray(data)
        damaged[rng.integers(len(data))] = rng.integers(256)
        with contextlib.suppress(EdgepackError):
            assert read(bytes(damaged)).shape[2] == 3


def huge_png(width: int, height: int) -> bytes:
    """A PNG of a few bytes whose header claims a picture of `width` × `height`."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    "size", [(8001, 8001), (10_000, 9_000), (50_000, 50_000), (2**31 - 1, 2**31 - 1)], ids=lambda size: str(size[0])
)
def test_a_picture_that_would_fill_the_memory_is_refused_before_it_is_unpacked(size: tuple[int, int]) -> None:
    with pytest.raises(StepError, match=r"at most 64,000,000 are taken|could be decompression bomb"):
        step("image")(huge_png(*size))


def test_a_program_that_draws_is_not_run() -> None:
    eps = b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\n%%EOF\n"
    with pytest.raises(StepError, match="is a PostScript program, which is not run; save it as PNG"):
        step("image")(eps)


def test_a_picture_that_fails_when_its_pixels_are_asked_for_is_refused() -> None:
    with pytest.raises(StepError, match="step 'image' cannot take this PngImageFile"):
        step("image")(Image.open(io.BytesIO(png(COLOURS)[:-40])))


def test_a_path_that_leads_nowhere_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingFileError, match=r"no image at .*seven\.png"):
        step("image")(tmp_path / "seven.png")


def test_text_that_is_no_path_says_so() -> None:
    with pytest.raises(MissingFileError, match="no image at aGVsbG8"):
        step("image")("aGVsbG8" * 1000)


def test_a_folder_is_no_image(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is a folder, not an image file; name a file"):
        step("image")(tmp_path)


def test_without_pillow_the_message_says_what_to_install(child: Child) -> None:
    code = """
from edgepack.runtime.errors import MissingExtraError
from edgepack.runtime.steps import Step, prepare
try:
    prepare([Step("image")])(b"?")
except MissingExtraError as error:
    print(error)
"""
    assert child(code, without=("PIL",)).stdout == (
        "Pillow, which reads and resizes images, is not installed; run: pip install 'edgepack[image]'\n"
    )


# resize, scale


@pytest.mark.parametrize("method", ["nearest", "bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("pixels", [COLOURS, GREYS[:, :, np.newaxis]], ids=["rgb", "grey"])
def test_resizing_is_that_of_pillow(pixels: Array, method: str) -> None:
    found = step("resize", height=3, width=9, method=method)(pixels)
    picture = Image.fromarray(pixels.squeeze())
    wanted = np.asarray(picture.resize((9, 3), Image.Resampling[method.upper()])).reshape(3, 9, -1)
    np.testing.assert_array_equal(found, wanted)


def test_pixels_of_the_right_size_are_untouched() -> None:
    assert step("resize", height=6, width=5)(COLOURS) is COLOURS


def test_scaling_is_exact_in_float32() -> None:
    found = step("scale", factor=1 / 255, offset=-0.5)(COLOURS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, COLOURS.astype(np.float32) * np.float32(1 / 255) + np.float32(-0.5))


# classify


def test_labels_come_best_first() -> None:
    found = step("classify", labels=["a", "b", "c"], top=2)(np.array([0.1, 0.7, 0.2], np.float32))
    assert [(score.label, round(score.score, 3)) for score in found] == [("b", 0.7), ("c", 0.2)]


def test_equal_scores_keep_the_order_of_the_labels() -> None:
    found = step("classify", labels=["a", "b", "c"])(np.array([0.4, 0.4, 0.2], np.float32))
    assert [score.label for score in found] == ["a", "b", "c"]


def test_more_results_than_labels_are_all_labels() -> None:
    assert len(step("classify", labels=["a", "b"], top=9)(np.zeros(2, np.float32))) == 2


def test_scores_of_another_number_than_the_labels_are_refused() -> None:
    with pytest.raises(StepError, match=r"scores of shape \(3,\) for 2 labels; rebuild the pack"):
        step("classify", labels=["a", "b"])(np.zeros(3, np.float32))


# the list of steps


def test_no_steps_leave_a_sample_as_it_is() -> None:
    assert prepare([])(COLOURS) is COLOURS


def test_an_unknown_step_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match=r"unknown step 'blur' \(known: image, row, series, sound, resize, scale, classify, "):
        step("blur")


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("image", {"mode": "cmyk"}), ("image", {"mode": ["rgb"]}), ("image", {"colour": "rgb"}),
        ("resize", {}), ("resize", {"height": 3}), ("resize", {"height": 3, "width": 3, "method": "magic"}),
        ("resize", {"height": "3", "width": 3}), ("resize", {"height": 0, "width": 3}),
        ("resize", {"height": 3.5, "width": 3}), ("resize", {"height": 10**6, "width": 10**6}),
        ("scale", {}), ("scale", {"factor": "much"}), ("scale", {"factor": None}), ("scale", {"factor": [1, 2]}),
        ("classify", {}), ("classify", {"labels": 3}), ("classify", {"labels": ["a"], "top": 0}),
        ("classify", {"labels": ["a"], "top": "all"}),
    ],
    ids=lambda value: str(value)[:40],
)  # fmt: skip
def test_options_a_step_does_not_take_are_refused_when_the_pack_is_opened(name: str, options: dict[str, Any]) -> None:
    with pytest.raises(PackError, match=rf"step '{name}' does not take these options"):
        step(name, **options)


@pytest.mark.parametrize("name", known())
@pytest.mark.parametrize("sample", [None, "text", 3, {}, [[]]], ids=str)
def test_no_step_crashes_on_another_kind_of_sample(name: str, sample: Any) -> None:
    options: dict[str, dict[str, Any]] = {
        "resize": {"height": 2, "width": 2}, "scale": {"factor": 2}, "classify": {"labels": ["a"]}
    }  # fmt: skip
    with contextlib.suppress(EdgepackError):
        step(name, **options.get(name, {}))(sample)


# through a session


def test_a_session_takes_images_of_every_kind_alone_and_in_lists(tiles_pack: Path, photo: Path) -> None:
    samples: list[Any] = [photo, str(photo), photo.read_bytes(), Image.open(photo), COLOURS]
    with edgepack.load(tiles_pack) as session:
        together = session.predict(samples)
        assert together == [together[0]] * len(samples)
        assert together == [session.predict(sample) for sample in samples]
    assert sum(score.score for score in together[0]) == pytest.approx(1.0)


def test_pixels_give_what_their_tensor_gives(tiles_pack: Path) -> None:
    given, wanted = outputs("tiles")
    pixels = np.rint(given["image"][0] * 255).astype(np.uint8)
    with edgepack.load(tiles_pack) as session:
        found = {score.label: score.score for score in session.predict(pixels)}
    assert [found[label] for label in "abc"] == pytest.approx(wanted["scores"][0].tolist(), abs=TOLERANCE)


def test_the_digits_of_the_examples_are_images_of_28_by_28() -> None:
    for name in sorted(os.listdir(EXAMPLES)):
        assert step("image", mode="grayscale")(EXAMPLES / name).shape == (28, 28, 1)
