"""The life of the process: it starts, says where and what, answers, drains and ends."""

import shutil
import signal
import ssl
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from edgepack.runtime.serve.listening import bind
from edgepack.runtime.serve.state import locked
from tests.runtime.serve.folders import put
from tests.runtime.serve.running import BODY, Running, half_asked

pytest.importorskip("httptools")
READ, ADMIN = "r" * 24, "a" * 24


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory, mlp_pack: Path) -> Path:
    folder = tmp_path_factory.mktemp("models")
    shutil.copy(mlp_pack, folder / "mlp.edgepack")
    return folder


@pytest.fixture
def tokens(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.touch(0o600)
    path.write_text(f'read = ["{READ}"]\nadmin = ["{ADMIN}"]\n', encoding="utf-8")
    return path


Config = Callable[[str], Path]


@pytest.fixture
def config(tmp_path: Path, models: Path) -> Config:
    """Write a file of settings for the folder of models."""

    def write(text: str) -> Path:
        path = tmp_path / "serve.toml"
        path.write_text(f'models = "{models}"\n{text}', encoding="utf-8")
        return path

    return write


def refused(*arguments: object) -> str:
    """The one line that a server leaves behind that cannot start."""
    done = subprocess.run(
        [sys.executable, "-m", "edgepack", "serve", *map(str, arguments)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done
    assert done.stderr.startswith("edgepack: ")
    assert done.stderr.count("\n") == 1, done.stderr
    return done.stderr


def test_it_says_where_it_listens_and_what_it_serves_and_ends_with_nought(models: Path) -> None:
    with Running(models) as running:
        running.ready()
        assert running.port > 0
        assert running.get("/v2/health/ready")[0] == 200
        (model,) = [event for event in running.told if event["event"] == "model"]
        assert (model["model"], model["state"], model["provider"]) == ("mlp", "READY", "cpu")
        assert running.told[-1]["loaded"] == running.told[-1]["models"] == 1
        assert running.stop() == 0
        assert running.until("stopped")


def test_without_json_people_read_lines(models: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "edgepack", "serve", str(models), "--port", "0"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        assert process.wait(30) == 0
        rest = process.stdout.read()
    assert lines[0].startswith("listening on http://127.0.0.1:")
    assert lines[1].startswith("mlp 1: ")
    assert lines[2].startswith("ready: 1 of 1 loaded in ")
    assert rest == "stopping: requests have 20 s to end\nstopped: every request had its answer\n"


def test_a_request_under_way_has_its_answer_when_the_server_stops(models: Path) -> None:
    with Running(models) as running, half_asked(running.ready()) as client, running.connect() as idle:
        running.send()
        running.until("stopping")
        assert idle.recv(1) == b"", "a connection that asks nothing holds nothing up"
        with pytest.raises(ConnectionError):
            running.connect()
        client.sendall(BODY[10:])
        assert client.recv(4096).startswith(b"HTTP/1.1 200 OK\r\n")
        assert running.code() == 0


def test_a_request_that_does_not_end_is_cut_off_and_told_of(models: Path) -> None:
    with Running(models, "--drain-s", 0.2) as running, half_asked(running.ready()):
        assert running.stop() == 1
        assert running.until("late")


def test_a_second_signal_ends_it_at_once(models: Path) -> None:
    with Running(models) as running, half_asked(running.ready()):
        running.send()
        running.until("stopping")
        running.send(signal.SIGINT)
        assert running.code() == 128 + signal.SIGINT


def test_before_it_stops_it_says_that_it_is_not_ready(config: Config) -> None:
    with Running("--config", config("notice_s = 30\n")) as running:
        running.ready().send()
        running.until("stopping")
        assert running.get("/v2/health/ready")[0] == 503
        assert running.get("/v2/health/live")[0] == 200
        assert running.get("/v2/models/mlp")[0] == 200


def test_a_client_that_sends_no_headers_is_cut_off(config: Config) -> None:
    with Running("--config", config("[limits]\nread_timeout_s = 0.2\n")) as running:
        with running.ready().connect() as client:
            client.sendall(b"POST /v2/models/mlp/infer HTTP/1.1\r\nHost:")
            assert client.recv(4096).startswith(b"HTTP/1.1 408 ")
        assert running.stop() == 0


def test_more_connections_than_the_limit_are_refused_at_once(config: Config) -> None:
    with Running("--config", config("[limits]\nconnections = 1\n")) as running:
        asked = b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\n\r\n"
        with running.ready().connect() as first:
            first.sendall(asked)
            assert first.recv(4096).startswith(b"HTTP/1.1 200")
            with running.connect() as second:
                second.sendall(asked)
                answer = second.recv(4096)
                assert answer.startswith(b"HTTP/1.1 429 ")
                assert b"retry-after: 1\r\n" in answer
            first.sendall(asked)
            assert first.recv(4096).startswith(b"HTTP/1.1 200")
        assert running.stop() == 0


def test_headers_without_end_are_refused(models: Path) -> None:
    with Running(models) as running:
        with running.ready().connect() as client:
            client.sendall(b"GET /v2/health/live HTTP/1.1\r\nHost: localhost\r\nX-Long: ")
            answer = b""
            try:
                for _ in range(100):
                    client.sendall(b"x" * 10_000)
                answer = client.recv(4096)
            except ConnectionError:
                pass
        assert not answer or answer.startswith(b"HTTP/1.1 431")
        assert running.stop() == 0


def test_a_port_that_is_taken_is_one_line(models: Path) -> None:
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        told = refused(models, "--port", port)
    assert told == (
        f"edgepack: cannot listen on port {port} of 127.0.0.1: Address already in use; name another --port, or 0 for "
        "any free one\n"
    )


def test_a_port_of_grpc_that_is_taken_is_one_line(models: Path) -> None:
    pytest.importorskip("grpc")
    with bind("127.0.0.1", 0) as taken:
        port = taken.getsockname()[1]
        told = refused(models, "--port", 0, "--grpc-port", port)
    assert told == (
        f"edgepack: gRPC cannot listen on 127.0.0.1:{port}: name another --grpc-port, or see that certificate and key "
        "fit one another\n"
    )


def test_a_host_that_is_not_ours_is_one_line(models: Path) -> None:
    assert "cannot listen on port 0 of 192.0.2.1: " in refused(models, "--port", 0, "--host", "192.0.2.1", "--insecure")


@pytest.mark.parametrize("workers", [1, 2])
def test_a_folder_without_a_pack_is_one_line(tmp_path: Path, workers: int) -> None:
    with Running(tmp_path, "--workers", workers) as running:
        assert running.code() == 1
    told = "".join(running.errors)
    assert f"edgepack: no pack in {tmp_path}; put one there: edgepack push PACK --to {tmp_path}\n" in told
    assert "Traceback" not in told


def test_a_folder_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    assert "no folder of models at" in refused(tmp_path / "lost")


def test_a_pack_in_place_of_a_folder_says_what_to_do(mlp_pack: Path) -> None:
    assert f"{mlp_pack} is a file; what is served is a folder: edgepack push " in refused(mlp_pack)


def test_other_machines_need_a_word_more(models: Path) -> None:
    assert "or say --insecure" in refused(models, "--host", "0.0.0.0")


def test_tokens_say_who_may_read_and_who_may_change(models: Path, tokens: Path) -> None:
    with Running(models, "--token-file", tokens) as running:
        running.ready()
        assert running.get("/v2/health/ready")[0] == 200
        assert running.get("/v2/models/mlp")[0] == 401
        assert running.get("/v2/models/mlp", token="x" * 24)[0] == 401
        assert running.get("/v2/models/mlp", token=READ)[0] == 200
        load = "/v2/repository/models/mlp/load"
        assert running.get(load, token=READ, method="POST")[0] == 403
        assert running.get(load, token=ADMIN, method="POST")[0] == 200
        tokens.write_text(f'read = ["{"n" * 24}"]\n', encoding="utf-8")
        running.send(signal.SIGHUP)
        while running.get("/v2/models/mlp", token="n" * 24)[0] != 200:
            pass
        assert running.get("/v2/models/mlp", token=READ)[0] == 401
        assert running.stop() == 0


def test_a_file_of_tokens_that_everyone_reads_is_one_line(models: Path, tokens: Path) -> None:
    tokens.chmod(0o644)
    assert "everyone on this machine can read" in refused(models, "--port", 0, "--token-file", tokens)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for localhost that signs itself, and its key."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("tls")
    certificate, key = folder / "cert.pem", folder / "key.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1",
         "-keyout", str(key), "-out", str(certificate)],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    return certificate, key


def test_tls_answers_over_tls_alone(models: Path, certificate: tuple[Path, Path]) -> None:
    chain, key = certificate
    with Running(models, "--tls-cert", chain, "--tls-key", key) as running:
        assert running.ready().url.startswith("https://127.0.0.1:")
        trusting = ssl.create_default_context(cafile=str(chain))
        assert running.get("/v2/health/ready", context=trusting)[0] == 200
        with running.connect() as plain:
            plain.sendall(b"GET /v2/health/ready HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b"HTTP/1.1 200" not in plain.recv(100)
        assert running.stop() == 0


def test_a_certificate_that_cannot_be_used_is_one_line(models: Path, certificate: tuple[Path, Path]) -> None:
    chain, _ = certificate
    assert "cannot be used: " in refused(models, "--port", 0, "--tls-cert", chain, "--tls-key", chain)


def test_a_host_that_can_be_no_name_is_one_line(models: Path) -> None:
    assert "cannot listen on port 0 of a..b: " in refused(models, "--port", 0, "--host", "a..b", "--insecure")


def test_what_does_not_start_leaves_one_line_with_grpc_too(tmp_path: Path) -> None:
    assert "no pack in" in refused(tmp_path, "--port", 0, "--grpc-port", 0).splitlines()[-1]


def test_a_model_that_is_being_loaded_does_not_hold_up_the_end(tmp_path: Path) -> None:
    put(tmp_path, "m", 1)
    with Running(tmp_path) as running, locked(tmp_path / ".edgepack-serve.lock"):  # nothing is loaded without the lock
        running.until("listening")
        assert running.stop() == 0
    with Running(tmp_path) as running:
        running.ready()
        with locked(tmp_path / ".edgepack-serve.lock"):
            put(tmp_path, "m", 2)
            while b'"LOADING"' not in running.get("/v2/repository/index", method="POST")[1]:
                pass
            assert running.stop() == 0
        assert running.until("stopped")
