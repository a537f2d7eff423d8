"""What containers are made from: valid, hardened, and without a secret of its own."""

import base64
import re
import stat
import subprocess
import sys
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.deploy.composed import (
    FILE,
    SCRIPT,
    VARIABLE,
    Incomplete,
    interpolated,
    ours,
    secrets,
    services,
)
from tests.start.processes import REPOSITORY

BIN = Path(sys.executable).parent
ORIGIN = "https://missions.example.org:8443"
SECRET = re.compile("PASSWORD|TOKEN|ROOT_KEY|AUTH$")
WRITES_ITS_ROOT = {"elasticsearch"}
CHECKED_BY_ITS_EXIT = {"migrate", "worker"}
PINNED = re.compile(r".+:[0-9]+\.[0-9]+(\.[0-9]+)?(-[a-z]+)*")

every_service = pytest.mark.parametrize("name", list(services()))


def lint(*words: str | Path) -> None:
    done = subprocess.run(words, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_compose_file_is_valid() -> None:
    lint(BIN / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", FILE)


def test_hadolint_finds_nothing_in_the_dockerfile() -> None:
    lint(BIN / "hadolint", "--failure-threshold", "style", "Dockerfile")


def test_gixy_finds_nothing_in_the_proxy() -> None:
    lint(BIN / "gixy", "deploy/proxy/nginx.conf")


def test_the_image_is_pinned_and_runs_as_a_user_without_rights() -> None:
    lines = (REPOSITORY / "Dockerfile").read_text().splitlines()
    bases = [line.split()[1] for line in lines if line.startswith("FROM ")]
    assert len(bases) == 2
    assert all(PINNED.fullmatch(base) for base in bases)
    assert [line for line in lines if line.startswith("USER ")] == ["USER 10001:10001"]
    assert any(line.startswith("HEALTHCHECK ") for line in lines)


def test_nothing_but_what_the_image_is_built_from_goes_to_the_builder() -> None:
    ignored = (REPOSITORY / ".dockerignore").read_text().split()
    copied = re.findall(r"^COPY (?!--)(.+)$", (REPOSITORY / "Dockerfile").read_text(), re.MULTILINE)
    sources = {word for line in copied for word in line.split()[:-1]}
    assert "*" in ignored
    assert {line[1:] for line in ignored if line.startswith("!")} == sources


@every_service
def test_a_service_may_do_no_more_than_it_must(name: str) -> None:
    service = services()[name]
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert service.get("read_only", False) is (name not in WRITES_ITS_ROOT)
    assert not service.get("privileged")
    assert not str(service.get("user", "image's own")).startswith(("0", "root"))
    limits = service["deploy"]["resources"]["limits"]
    assert {"cpus", "memory", "pids"} <= set(limits)
    assert service["logging"]["options"]["max-size"]


@every_service
def test_a_service_has_a_pinned_image_and_a_health_check(name: str) -> None:
    service = services()[name]
    if service["image"].startswith("mission-control:"):
        assert service["build"] == {"context": "."}
    else:
        assert PINNED.fullmatch(service["image"])
    assert ("test" in service["healthcheck"]) is (name not in CHECKED_BY_ITS_EXIT)


@every_service
def test_only_the_proxy_can_be_reached_from_outside(name: str) -> None:
    service = services()[name]
    assert ("ports" in service) is (name == "proxy")
    networks = set(service["networks"])
    assert networks == ({"edge"} if name == "proxy" else networks & {"edge", "stores"})
    if name != "proxy" and name not in ours(services()):
        assert networks == {"stores"}


def test_nobody_else_is_given_the_proxys_address() -> None:
    edge = yaml.safe_load(FILE.read_text())["networks"]["edge"]["ipam"]["config"][0]
    proxy = ip_address(services()["proxy"]["networks"]["edge"]["ipv4_address"])
    assert proxy in ip_network(edge["subnet"])
    assert proxy not in ip_network(edge["ip_range"])


@every_service
def test_no_service_has_a_secret_that_is_written_down(name: str) -> None:
    environment: dict[str, Any] = services()[name].get("environment", {})
    for key, value in environment.items():
        if SECRET.search(key) or ("://" in value and "@" in value):
            assert re.search(r"\$\{\w+:\?", value), key


def test_without_any_one_of_its_variables_nothing_starts(tmp_path: Path) -> None:
    variables = secrets(tmp_path, ORIGIN)
    text = FILE.read_text()
    interpolated(text, variables)
    for name in variables:
        with pytest.raises(Incomplete, match=name):
            interpolated(text, variables | {name: ""})


def test_the_example_names_what_the_script_makes_and_the_file_wants(tmp_path: Path) -> None:
    lines = (REPOSITORY / ".env.example").read_text().splitlines()
    named = {line for line in lines if line and not line.startswith("#")}
    assert all(line.endswith("=") for line in named), "names, no values"
    wanted = {match[1] for match in VARIABLE.finditer(FILE.read_text()) if match[2] == "?"}
    assert {line[:-1] for line in named} == wanted == set(secrets(tmp_path, ORIGIN))


def test_made_secrets_are_strong_private_and_stay(tmp_path: Path) -> None:
    first = secrets(tmp_path, ORIGIN)
    assert len(base64.b64decode(first["MC_ROOT_KEY"], validate=True)) == 32
    assert len(base64.urlsafe_b64decode(first["KAFKA_CLUSTER_ID"] + "==")) == 16
    made = [value for name, value in first.items() if SECRET.search(name)]
    assert len(set(made)) == len(made)
    assert all(len(value) >= 40 for value in made)
    assert stat.S_IMODE((tmp_path / ".env").stat().st_mode) == 0o600
    certificate = (tmp_path / ".secrets/tls.crt").read_bytes()
    subprocess.run([tmp_path / SCRIPT, ORIGIN, "x@example.org"], check=True, capture_output=True)
    assert (tmp_path / ".secrets/tls.crt").read_bytes() == certificate
    again = (tmp_path / ".env").read_text()
    assert dict(line.split("=", 1) for line in again.splitlines()) == first
