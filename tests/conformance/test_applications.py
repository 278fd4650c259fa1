"""Bar 2: one model of each family of keras.applications is right in both formats."""

from pathlib import Path

import numpy as np
import pytest

import edgepack
from edgepack.convert.build import convert_model
from tests.conformance.applications import FAMILIES, build, pictures

_PICTURES = 16
_CLASSES = 4  # that win at least once
_NEEDED_GB = {
    "vgg16": 20,
    "vgg19": 22,
}  # of memory, in this process and in that of the converters: weights of half a GB


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("family", FAMILIES)
def test_family(family: str, tmp_path: Path) -> None:
    needed, free = _NEEDED_GB.get(family, 0), _free_gb()
    if free < needed:
        pytest.skip(f"{family} takes some {needed} GB of memory, and {free:.0f} are free: run it alone")
    model = build(family)
    rng = np.random.default_rng(1)
    convert_model(model, tmp_path / "m.edgepack", evaluation=pictures(model, rng, 4))
    images = pictures(model, rng, _PICTURES)
    wanted = np.asarray(model.predict(images, batch_size=4, verbose=0))
    winners = wanted.argmax(axis=1)
    assert len(set(winners.tolist())) >= _CLASSES, "the answers are spread out"
    for variant in ("tflite-float32", "onnx-float32"):
        with edgepack.load(tmp_path / "m.edgepack", variant=variant) as session:
            got = np.concatenate([session(image[None]) for image in images])
        cosines = (got * wanted).sum(axis=1) / np.linalg.norm(got, axis=1) / np.linalg.norm(wanted, axis=1)
        assert cosines.min() >= 0.9999, variant
        assert (got.argmax(axis=1) == winners).all(), variant


def _free_gb() -> float:
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) / 1e6


def test_a_small_family_in_the_default_suite(tmp_path: Path) -> None:
    test_family("mobilenet_v3", tmp_path)
