"""What docs/deploy holds runs: settings, unit, image and manifest name only what there is."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from edgepack.__main__ import main
from edgepack.runtime.serve.config import gather
from edgepack.runtime.serve.settings import Settings
from tests.zoo import packs

DEPLOY = Path(__file__).parents[1] / "docs" / "deploy"
INSTRUCTIONS = {
    "ADD", "ARG", "CMD", "COPY", "ENTRYPOINT", "ENV", "EXPOSE", "FROM", "HEALTHCHECK", "LABEL", "ONBUILD", "RUN",
    "SHELL", "STOPSIGNAL", "USER", "VOLUME", "WORKDIR",
}  # fmt: skip


@pytest.fixture
def models(tmp_path: Path) -> Path:
    folder = tmp_path / "models"
    folder.mkdir()
    packs.write(folder / "mlp.edgepack", packs.mlp())
    return folder


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    path = tmp_path / "tokens.toml"
    path.touch(0o600)
    path.write_text(f'read = ["{"r" * 24}"]\n', encoding="utf-8")
    return path


def checked(arguments: list[str], models: Path, secrets: Path, capfd: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """What `edgepack serve` would serve with these arguments, with a folder and tokens that are there."""
    changed = [
        re.sub("^/models$", str(models), re.sub(r"/run/secrets/\S*tokens\.toml$", str(secrets), argument))
        for argument in arguments
    ]
    assert main(["serve", *changed, *([] if "--json" in changed else ["--json"]), "--check-config"]) == 0
    found: dict[str, Any] = json.loads(capfd.readouterr().out)
    return found


# Settings


def test_the_settings_are_taken(tmp_path: Path, models: Path) -> None:
    text = (DEPLOY / "serve.toml").read_text(encoding="utf-8")
    path = tmp_path / "serve.toml"
    path.write_text(text.replace("/var/lib/edgepack/models", str(models)), encoding="utf-8")
    settings = gather(path, {})
    assert settings.models == str(models)
    assert settings.limits.connections == 128


# systemd


def unit() -> str:
    return (DEPLOY / "edgepack.service").read_text(encoding="utf-8")


def test_the_unit_runs_commands_that_there_are(tmp_path: Path, models: Path, secrets: Path) -> None:
    commands = [
        shlex.split(line.partition("=")[2]) for line in unit().splitlines() if re.match("ExecStart(Pre)?=", line)
    ]
    assert [command[:4] for command in commands] == [
        ["/opt/edgepack/bin/edgepack", "serve", "--config", "/etc/edgepack/serve.toml"]
    ] * 2
    config = tmp_path / "serve.toml"
    config.write_text(f'models = "{models}"\ntoken_file = "{secrets}"\n', encoding="utf-8")
    for command in commands:
        assert main(["serve", "--config", str(config), *command[4:], *_only_checked(command)]) == 0


def _only_checked(command: list[str]) -> list[str]:
    return [] if "--check-config" in command else ["--check-config"]


def test_the_unit_leaves_more_time_than_requests_have() -> None:
    seconds = int(re.findall(r"^TimeoutStopSec=(\d+)$", unit(), re.M)[0])
    settings = Settings("models")
    assert seconds > settings.drain_s + settings.notice_s + 5


def test_systemd_finds_nothing_wrong_with_the_unit(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "edgepack.service"
    path.write_text(unit().replace("/opt/edgepack/bin/edgepack", sys.executable), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(path)], capture_output=True, text=True, timeout=60, check=False
    )
    ours = [line for line in (done.stdout + done.stderr).splitlines() if "edgepack.service" in line]
    assert not ours
    assert done.returncode == 0 or not ours


def test_systemd_thinks_the_unit_well_shielded(tmp_path: Path) -> None:
    if not shutil.which("systemd-analyze"):
        pytest.skip("systemd-analyze is not installed")
    path = tmp_path / "edgepack.service"
    path.write_text(unit(), encoding="utf-8")
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--threshold=25", str(path)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    if "unrecognized option" in done.stderr:
        pytest.skip("this systemd-analyze looks at no files")
    assert done.returncode == 0, done.stdout[-400:] + done.stderr


# Docker


def instructions() -> Iterator[tuple[str, str]]:
    """Each instruction of the Dockerfile, and the rest of its line."""
    text = (DEPLOY / "Dockerfile").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        if line.strip():
            name, _, rest = line.strip().partition(" ")
            yield name, rest.strip()


def test_the_image_is_made_of_instructions_that_there_are() -> None:
    found = list(instructions())
    assert {name for name, _ in found} <= INSTRUCTIONS
    assert [rest for name, rest in found if name == "FROM"] == ["python:3.11-slim AS build", "python:3.11-slim"]


def test_the_image_does_not_run_as_root() -> None:
    users = [rest for name, rest in instructions() if name == "USER"]
    assert users
    assert users[-1] == "10001:10001"


def test_the_image_starts_a_command_that_there_is(
    models: Path, secrets: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    found = dict(instructions())
    command, subcommand, *arguments = json.loads(found["ENTRYPOINT"]) + json.loads(found["CMD"])
    assert (command, subcommand) == ("edgepack", "serve")
    settings = checked(arguments, models, secrets, capfd)["settings"]
    assert str(settings["port"]) == found["EXPOSE"]
    assert found["STOPSIGNAL"] == "SIGTERM"


def test_the_image_looks_after_its_own_health() -> None:
    found = dict(instructions())
    *options, command = re.split(r"\s+(?=CMD)", found["HEALTHCHECK"])
    assert all(
        re.fullmatch(r"--(interval|timeout|start-period|retries)=\d+s?", option) for option in options[0].split()
    )
    python, _, code = json.loads(command.removeprefix("CMD"))
    assert python == "python"
    compile(code, "HEALTHCHECK", "exec")
    assert f":{found['EXPOSE']}/v2/health/ready" in code


def test_the_image_installs_extras_that_there_are() -> None:
    import tomllib

    project = tomllib.loads((DEPLOY.parents[1] / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    (extras,) = re.findall(r"/source\[([\w,-]+)\]", dict(instructions()).get("RUN", "") + _runs())
    assert set(extras.split(",")) <= set(project["optional-dependencies"])


def _runs() -> str:
    return " ".join(rest for name, rest in instructions() if name == "RUN" and "/source" in rest)


# Kubernetes


def manifests() -> list[dict[str, Any]]:
    yaml = pytest.importorskip("yaml")
    found = list(yaml.safe_load_all((DEPLOY / "kubernetes.yaml").read_text(encoding="utf-8")))
    assert all(isinstance(one, dict) for one in found)
    return found


def of_kind(kind: str) -> dict[str, Any]:
    (found,) = [one for one in manifests() if one["kind"] == kind]
    return found


def container() -> dict[str, Any]:
    (found,) = of_kind("Deployment")["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize("release", ["1.28", "1.31", "1.35"])
def test_kubernetes_would_take_every_manifest(release: str) -> None:
    kubernetes_validate = pytest.importorskip("kubernetes_validate", reason="kubernetes-validate is not installed")
    for one in manifests():
        kubernetes_validate.validate(one, release, strict=True)


def test_the_pod_starts_a_command_that_there_is(models: Path, secrets: Path, capfd: pytest.CaptureFixture[str]) -> None:
    found = checked(container()["args"], models, secrets, capfd)["settings"]
    ports = {port["name"]: port["containerPort"] for port in container()["ports"]}
    assert ports == {"http": found["port"], "grpc": found["grpc_port"]}
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    pause = int(container()["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + found["drain_s"] + 5


def test_the_pod_is_asked_where_the_server_answers() -> None:
    from edgepack.runtime.serve.http_routes import ROUTES

    known = {route.path for route in ROUTES}
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        asked = container()[probe]["httpGet"]
        assert asked["path"] in known
        assert asked["port"] == "http"


def test_the_pod_may_do_as_little_as_it_can() -> None:
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["automountServiceAccountToken"] is False
    own = container()["securityContext"]
    assert own == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}
    }  # fmt: skip
    assert container()["resources"].keys() == {"requests", "limits"}


def test_what_is_mounted_is_there_and_tokens_are_kept_from_others() -> None:
    pod = of_kind("Deployment")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert {mount["name"] for mount in container()["volumeMounts"]} == volumes.keys()
    assert (
        volumes["models"]["persistentVolumeClaim"]["claimName"] == of_kind("PersistentVolumeClaim")["metadata"]["name"]
    )
    assert volumes["tokens"]["secret"]["defaultMode"] & 0o007 == 0


def test_the_service_finds_the_pod() -> None:
    deployment, service = of_kind("Deployment"), of_kind("Service")
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"].items() <= labels.items()
    assert service["spec"]["selector"].items() <= labels.items()
    names = {port["name"] for port in container()["ports"]}
    assert {port["targetPort"] for port in service["spec"]["ports"]} <= names
