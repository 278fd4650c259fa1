"""The commands `serve --check-config`, `push` and `rollback`."""

import json
import shutil
from pathlib import Path

import pytest

from edgepack.runtime import cache_folder
from tests.conftest import Run
from tests.runtime.serve.running import Running

pytest.importorskip("httptools")
ADMIN = "a" * 24


@pytest.fixture
def models(tmp_path: Path, mlp_pack: Path) -> Path:
    folder = tmp_path / "models"
    (folder / "mlp").mkdir(parents=True)
    shutil.copy(mlp_pack, folder / "mlp" / "1.edgepack")
    return folder


def test_what_would_be_served_is_shown_and_nothing_is_begun(run: Run, models: Path) -> None:
    done = run("serve", models, "--port", 0, "--max-batch", 8, "--check-config")
    assert done.code == 0, done.err
    assert "default.batch.max_rows" in done.out
    assert "mlp" in done.out
    assert [path.name for path in models.iterdir()] == ["mlp"]


def test_what_would_be_served_as_json(run: Run, models: Path) -> None:
    done = run("serve", models, "--provider", "gpu, cpu", "--check-config", "--json")
    found = json.loads(done.out)
    assert (done.code, found["failures"]) == (0, [])
    assert found["settings"]["default"]["provider"] == ["gpu", "cpu"]
    (model,) = found["models"]
    assert (model["name"], model["version"], model["failure"]) == ("mlp", "1", "")
    assert model["variants"]


def test_what_would_not_be_served_is_named(run: Run, models: Path, tmp_path: Path) -> None:
    (models / "mlp" / "2.edgepack").write_bytes(b"PK\x03\x04 half a pack")
    tokens = tmp_path / "tokens.toml"
    tokens.touch(0o600)
    config = tmp_path / "serve.toml"
    config.write_text('models = "models"\ntoken_file = "tokens.toml"\n[model.mlq]\nthreads = 1\n', encoding="utf-8")
    done = run("serve", "--config", config, "--check-config", "--json")
    assert done.code == 1
    failures = json.loads(done.out)["failures"]
    assert [failure.partition(" ")[0] for failure in failures] == [str(tokens), "mlp", "model.mlq"]
    assert run("serve", "--config", config, "--check-config").err.count("edgepack: ") == 3


def test_a_folder_with_nothing_in_it_would_serve_nothing(run: Run, tmp_path: Path) -> None:
    done = run("serve", tmp_path, "--check-config")
    assert done.code == 1
    assert f"put one there: edgepack push PACK --to {tmp_path}" in done.err


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("--max-batch", "many"), "default.batch.max_rows is 'many'; it takes 1 (no batching) or more, or 'auto'"),
        (("--workers", 0), "workers is 0; it takes 1 or more"),
        (("--provider", "cpu,"), "default.provider is ['cpu', '']; it takes names of providers"),
    ],
    ids=["batch", "workers", "provider"],
)
def test_an_option_that_makes_no_sense_is_one_line(
    run: Run, models: Path, arguments: tuple[object, ...], told: str
) -> None:
    done = run("serve", models, *arguments, "--check-config")
    assert (done.code, done.out) == (1, "")
    assert done.err.startswith(f"edgepack: {told}")
    assert done.err.count("\n") == 1


def test_a_version_is_pushed_to_a_running_server_and_taken_back(
    run: Run, models: Path, mlp_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tokens = tmp_path / "tokens.toml"
    tokens.touch(0o600)
    tokens.write_text(f'admin = ["{ADMIN}"]\n', encoding="utf-8")
    with Running(models, "--token-file", tokens) as running:
        running.ready()
        done = run("push", mlp_pack, "--to", models, "--name", "mlp", "--json")
        told = json.loads(done.out)
        assert (told["path"], told["passed_over"]) == (str(models / "mlp" / "2.edgepack"), [])

        def versions() -> list[str]:
            return list(json.loads(running.get("/v2/models/mlp", token=ADMIN)[1])["versions"])

        while "2" not in versions():
            pass
        denied = run("rollback", "mlp", "--url", running.url)
        assert denied.code == 1
        assert "wants a token" in denied.err
        monkeypatch.setenv("EDGEPACK_TOKEN", ADMIN)
        assert run("rollback", "mlp", "--url", running.url).out == "mlp: version 1 answers from now on\n"
        lost = run("rollback", "mlq", "--url", running.url)
        assert lost.code == 1
        assert running.stop() == 0


def test_going_back_works_without_a_server(
    run: Run, models: Path, mlp_pack: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(cache_folder.ENVIRONMENT, str(tmp_path / "cache"))  # whatever other tests chose for this pack
    done = run("push", mlp_pack, "--to", models, "--name", "mlp")
    assert done.out.startswith(f"{mlp_pack} is {models / 'mlp' / '2.edgepack'}; here it runs as onnx-float32 on ")
    assert json.loads(run("rollback", "mlp", "--in", models, "--json").out) == {"name": "mlp", "version": "1"}


def test_a_push_into_a_new_folder_says_that_it_made_it(run: Run, mlp_pack: Path, tmp_path: Path) -> None:
    done = run("push", mlp_pack, "--to", tmp_path / "new")
    assert (done.code, done.err) == (0, f"made the folder {tmp_path / 'new'}\n")


@pytest.mark.parametrize("arguments", [(), ("--in", "x", "--url", "http://127.0.0.1:1")], ids=["neither", "both"])
def test_going_back_takes_a_folder_or_a_server(run: Run, arguments: tuple[str, ...]) -> None:
    done = run("rollback", "mlp", *arguments)
    assert (done.code, done.err) == (
        1, "edgepack: say where the model is: --in FOLDER, or --url of a running server\n",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://127.0.0.1:9", "no server answers at http://127.0.0.1:9: "),
        ("127.0.0.1:9", "url is '127.0.0.1:9'; it takes"),
    ],
    ids=["nobody", "no-url"],
)
def test_a_server_that_is_not_there_is_one_line(run: Run, url: str, told: str) -> None:
    done = run("rollback", "mlp", "--url", url)
    assert done.code == 1
    assert done.err.startswith(f"edgepack: {told}")
