"""Settings from a file and a command line: the line that is wrong is named, with what came and what is taken."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgepack.runtime.errors import InputError, MissingFileError
from edgepack.runtime.serve.config import gather
from edgepack.runtime.serve.settings import Settings, is_loopback

Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Write a file of settings beside a folder of models and files that they may name."""
    (tmp_path / "models").mkdir()
    for name in ("cert.pem", "key.pem", "tokens.toml"):
        (tmp_path / name).touch()

    def write(text: str, *, models: str | None = "models") -> Path:
        path = tmp_path / "serve.toml"
        path.write_text((f'models = "{models}"\n' if models else "") + text, encoding="utf-8")
        return path

    return write


def refusal(file: Path | None, **options: Any) -> str:
    with pytest.raises((InputError, MissingFileError)) as caught:
        gather(file, options)
    text = str(caught.value)
    assert "\n" not in text
    return text


def test_a_folder_alone_is_enough(tmp_path: Path) -> None:
    assert gather(None, {"models": str(tmp_path)}) == Settings(str(tmp_path))


def test_every_kind_of_key_is_read(written: Written, tmp_path: Path) -> None:
    file = written(
        """
port = 9000
grpc_port = 9001
drain_s = 5
cors_origins = ["https://example.org"]
tls_cert = "cert.pem"
tls_key = "key.pem"
[limits]
rate_per_s = 20
[default]
variant = "int8"
provider = ["gpu", "cpu"]
[default.batch]
max_rows = 8
[model.digits]
versions = ["2", "3"]
"""
    )
    settings = gather(file, {})
    assert (settings.port, settings.grpc_port, settings.drain_s) == (9000, 9001, 5.0)
    assert settings.limits.rate_per_s == 20.0
    assert settings.default.provider == ("gpu", "cpu")
    assert settings.of("digits").versions == ("2", "3")
    assert settings.models == str(tmp_path / "models"), "paths start at the folder of the file"
    assert settings.tls_cert == str(tmp_path / "cert.pem")


def test_a_model_without_a_key_of_its_own_takes_the_default_one(written: Written) -> None:
    file = written('[default]\nvariant = "int8"\nbatch.max_rows = 8\n[model.digits.batch]\nmax_delay_ms = 2\n')
    digits = gather(file, {}).of("digits")
    assert (digits.variant, digits.batch.max_rows, digits.batch.max_delay_ms) == ("int8", 8, 2.0)


def test_an_option_stands_over_the_file(written: Written) -> None:
    file = written("port = 9000\n[default.batch]\nmax_rows = 8\nmax_delay_ms = 2\n")
    settings = gather(file, {"port": 0, "default.batch.max_rows": 1, "host": None})
    assert (settings.port, settings.default.batch.max_rows, settings.default.batch.max_delay_ms) == (0, 1, 2.0)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("prot = 1", "unknown key prot; did you mean port?"),
        ("[limits]\nconection = 1", "unknown key limits.conection; did you mean connections?"),
        ("[model.digits.batch]\nqueue_row = 1", "unknown key model.digits.batch.queue_row; did you mean queue_rows?"),
        ("qqq = 1", "unknown key qqq; it takes models, host, port"),
        ('port = "high"', "port is 'high'; it takes a whole number"),
        ("port = true", "port is true; it takes a whole number"),
        ("port = 70000", "port is 70000; it takes 0 (any free one) to 65535"),
        ("grpc_port = 8080", "port and grpc_port are both 8080"),
        ("workers = 0", "workers is 0; it takes 1 or more"),
        ("workers = 1.5", "workers is 1.5; it takes a whole number"),
        ("watch = 1", "watch is 1; it takes true or false"),
        ('host = " "', "host is ' '; it takes an address"),
        ("memory_mb = 0", "memory_mb is 0; it takes 1 or more"),
        ("drain_s = -1", "drain_s is -1.0; it takes 0 to"),
        ("drain_s = nan", "drain_s is nan; it takes 0 to"),
        ("notice_s = inf", "notice_s is inf; it takes 0 to"),
        ("limits = 3", "limits is 3; it is a table: [limits]"),
        ("[limits]\nbody_bytes = 0", "limits.body_bytes is 0; it takes 1 or more"),
        ("[limits]\nrate_per_s = -1", "limits.rate_per_s is -1.0; it takes 0 (any number) or more"),
        ("[limits]\nread_timeout_s = 0", "limits.read_timeout_s is 0.0; it takes more than 0"),
        ('tls_cert = "cert.pem"', "tls_cert is given without tls_key; TLS takes both"),
        ('tls_key = "key.pem"', "tls_key is given without tls_cert; TLS takes both"),
        ('cors_origins = ["example.org"]', "cors_origins holds 'example.org'; it takes origins as https://example.org"),
        ('cors_origins = "*"', "cors_origins is '*'; it takes a list of texts"),
        ("[default.batch]\nmax_rows = 0", "default.batch.max_rows is 0; it takes 1 or more"),
        ('[default.batch]\nmax_rows = "many"', "default.batch.max_rows is 'many'; it takes 1 (no batching) or more"),
        ("[default.batch]\nmax_rows = [1]", "default.batch.max_rows is [1]; it takes a whole number or a text"),
        ("[default.batch]\nmax_delay_ms = -1", "default.batch.max_delay_ms is -1.0; it takes 0 to"),
        ("[default.batch]\nqueue_rows = 0", "default.batch.queue_rows is 0; it takes 1 or more"),
        ("[default.batch]\nqueue_ms = -1", "default.batch.queue_ms is -1.0; it takes 0 or more"),
        ("[default.batch]\nrequest_rows = 0", "default.batch.request_rows is 0; it takes 1 or more"),
        ("[model.digits]\nthreads = 0", "model.digits.threads is 0; it takes 1 or more"),
        ("[model.digits]\ntimeout_s = 0", "model.digits.timeout_s is 0.0; it takes more than 0"),
        ("[model.digits]\nprovider = []", "model.digits.provider is []; it takes names of providers"),
        ("[model.digits]\nversions = 0", "model.digits.versions is 0; it takes 1 or more, 'all', or a list"),
        ('[model.digits]\nversions = "2"', "model.digits.versions is '2'; it takes how many of the latest"),
        ('[log]\nformat = "xml"', "log.format is 'xml'; it takes 'auto' or 'json' or 'text'"),
        ("[log]\nslow_ms = -1", "log.slow_ms is -1.0; it takes 0 or more"),
        ("model = 3", "model is 3; it is a table: [model]"),
        ("[model]\ndigits = 3", "model.digits is 3; it is a table: [model.digits]"),
        ("port = ", "is no TOML: "),
        ('token_file = "lost.toml"', "no file for token_file at"),
    ],
    ids=lambda value: " ".join(value.split())[:30],
)
def test_a_wrong_line_is_named(written: Written, text: str, told: str) -> None:
    assert told in refusal(written(f"{text}\n"))


def test_an_error_in_the_file_names_the_file(written: Written) -> None:
    file = written("workers = 0\n")
    assert refusal(file).startswith(f"{file}: workers is 0")


def test_a_file_or_folder_that_is_not_there_is_named(written: Written, tmp_path: Path) -> None:
    assert refusal(tmp_path / "lost.toml") == f"no file of settings at {tmp_path / 'lost.toml'}; check the path"
    assert "no folder of models at" in refusal(written("", models="lost"))
    assert refusal(written("", models=None)).endswith("no folder of models; name one: edgepack serve FOLDER")
    assert refusal(None) == "no folder of models; name one: edgepack serve FOLDER"


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.0.7", "device.local"])
def test_other_machines_are_let_in_only_when_that_is_said(written: Written, host: str) -> None:
    file = written("")
    told = refusal(file, host=host)
    assert told.endswith(
        f"host {host} is reached from other machines, by anyone; give --token-file, or --tls-cert and --tls-key, "
        "or say --insecure"
    )
    folder = file.parent
    tls = {"tls_cert": str(folder / "cert.pem"), "tls_key": str(folder / "key.pem")}
    for enough in ({"insecure": True}, {"token_file": str(folder / "tokens.toml")}, tls):
        assert gather(file, {"host": host, **enough}).host == host


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("localhost.example.org", False), ("", False)],
)  # fmt: skip
def test_loopback_is_told_from_the_rest(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected
