"""`edgepack convert --search`, from the command line to the pack and on to `edgepack choose`."""

import json
from pathlib import Path

import msgspec
import numpy as np
import pytest

import edgepack
from edgepack.__main__ import main
from edgepack.benchmarks.zoo import make_model
from edgepack.convert import Search, convert_model
from edgepack.convert.report import Report
from edgepack.runtime.choose import choose
from edgepack.runtime.errors import ConvertError, DataError
from edgepack.runtime.pack import Pack
from tests.convert.conftest import Toy

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

_PRECISIONS = ("float32", "weight_int8", "dynamic_int8")


@pytest.fixture(scope="module")
def searched(toy: Toy, tmp_path_factory: pytest.TempPathFactory) -> tuple[Report, Path]:
    path = tmp_path_factory.mktemp("searched") / "toy.edgepack"
    report = convert_model(
        toy.path, path, precisions=_PRECISIONS, evaluation=toy.evaluation, search=Search(keep="all", aim="size")
    )
    return report, path


def test_what_is_chosen_is_the_first_of_the_pack_and_marked_in_its_manifest(searched: tuple[Report, Path]) -> None:
    report, path = searched
    assert report.search is not None
    with Pack(path) as pack:
        manifest = pack.manifest
    marked = manifest.provenance["search"]
    assert manifest.variants[0].name == marked["chosen"] == report.search.choice.packed
    assert marked["budgets"]["aim"] == "size"
    assert set(marked["chosen_by_format"]) == {"tflite", "onnx"}
    assert marked["machine"]["fingerprint"]


def test_every_file_of_a_searched_pack_runs(searched: tuple[Report, Path], toy: Toy) -> None:
    _, path = searched
    with Pack(path) as pack:
        names = [one.name for one in pack.manifest.variants]
    assert len(names) == len(set(names))
    row = {"image": toy.evaluation["image"][:1]}
    for name in names:
        with edgepack.load(path, variant=name) as session:
            assert session.run(row)["quadrant"].shape == (1, 4)


def test_choose_on_the_device_looks_at_every_right_file(searched: tuple[Report, Path]) -> None:
    report, path = searched
    assert report.search is not None
    right = {one.packed for one in report.search.lines if one.is_right}
    choice = choose(path, seconds=4.0, provider="cpu", threads=[1], remember=False)
    assert {one.way.variant for one in choice.measurements} == right


def test_every_trial_is_on_the_page_and_in_the_json(searched: tuple[Report, Path]) -> None:
    report, _ = searched
    assert report.search is not None
    page, document = report.to_html(), json.loads(report.to_json())
    names = {one.tried.variant for one in report.search.lines}
    assert {one["tried"]["variant"] for one in document["search"]["lines"]} == names
    assert all(name in page for name in names)
    assert report.search.because in page.replace("&#39;", "'")


def test_the_page_says_with_how_many_threads_files_were_timed(searched: tuple[Report, Path]) -> None:
    report, _ = searched
    assert report.search is not None
    asked = msgspec.structs.replace(report.search.asked, threads=2)
    page = msgspec.structs.replace(report, search=msgspec.structs.replace(report.search, asked=asked)).to_html()
    assert page.count("one row, 2 threads") == 2  # the variants', and the trials'
    assert "one thread" not in page


def test_the_command_prints_the_front_and_one_sentence(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    np.savez(tmp_path / "evaluation.npz", **toy.evaluation)
    code = main(
        ["convert", str(toy.path), "-o", str(tmp_path / "toy.onnx"), "--search", "--precision", "weight_int8",
         "--budget", "1min", "--evaluation", str(tmp_path / "evaluation.npz")]
    )  # fmt: skip
    printed = capsys.readouterr().out
    assert code == 0
    assert "trials in" in printed
    assert "chosen: onnx-" in printed
    assert (tmp_path / "toy.onnx").is_file()
    assert [path.name for path in (tmp_path / "toy.onnx.search").iterdir()] == ["state.json"]


def test_a_budget_that_nobody_meets_writes_nothing(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(ConvertError, match=r"no file meets max_drop 0\.01 and max_size 10 B; the best that was found"):
        convert_model(
            toy.path, tmp_path / "toy.onnx", precisions=("weight_int8",), evaluation=toy.evaluation,
            search=Search(max_size=10),
        )  # fmt: skip
    assert not (tmp_path / "toy.onnx").exists()


def test_precisions_that_all_need_calibration_data_are_refused_without(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="precision int8, int16x8 needs calibration data: pass --calibration"):
        convert_model(toy.path, tmp_path / "toy.onnx", precisions=("int8", "int16x8"), search=Search())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--max-size", "9kB"], "--max-size belongs to --search: add it too"),
        (["--search", "--budget", "soon"], "--budget is 'soon'; it takes 5min, 30s, 5ms or 800us"),
        (["--search", "--aim", "beauty"], "unknown aim 'beauty' (known: latency, size)"),
    ],
    ids=["without", "budget", "aim"],
)
def test_wrong_use_is_one_line(
    toy: Toy, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["convert", str(toy.path), "-o", str(tmp_path / "toy.onnx"), *options]) == 1
    printed = capsys.readouterr().err
    assert message in printed
    assert printed.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("model", ["cnn", "depthwise", "lstm", "gru", "attention", "autoencoder", "mlp"])
def test_nothing_slower_than_float32_is_chosen_for_any_model_of_the_zoo(model: str, tmp_path: Path) -> None:
    make_model(model, tmp_path)
    report = convert_model(
        tmp_path / "model.keras", tmp_path / "model.edgepack", calibration=tmp_path / "calibration.npz",
        evaluation=tmp_path / "evaluation.npz", search=Search(budget_seconds=60.0),
    )  # fmt: skip
    assert report.search is not None
    assert report.search.choice.of_fastest is not None
    assert report.search.choice.of_fastest <= 1.0
    for variant in report.search.chosen_by_format.values():
        own = report.search.line(variant).of_own
        assert own is not None
        assert own <= 1.0
