"""That railway.toml, its successor, Procfile and the images agree with each other and with the product."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import railway_server
from foundation.settings import Settings
from foundation.settings.variables import names_of
from scripts.railway_setup.services import wanted
from tests.support.deployment import (
    Document,
    environment_of,
    image_of,
    procfile,
    railway_toml,
    services,
    type_errors,
)
from tests.support.process import ROOT, run_command

# Between the end of the drain, on the server's clock, and SIGKILL, on the platform's.
ROOM_S = 5
SECRETS = {
    "DATABASE_URL": "postgresql://postgres@db.example:5432/postgres",
    "SUPABASE_URL": "https://example.supabase.co",
    "RAILWAY_BACKEND_SECRET": "r" * 32,
    "METRICS_TOKEN": "m" * 16,
    "OPENAI_API_KEY": "k",
    "ALLOWED_ORIGINS": "https://app.example",
}


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Document]:
    return services(tmp_path_factory.mktemp("railway"))


def test_both_files_have_the_types_of_the_platform(tmp_path: Path) -> None:
    assert type_errors(tmp_path) == ""


def test_the_successor_says_of_the_front_door_what_railway_toml_says(described: dict[str, Document]) -> None:
    web = described["web"]

    assert web["build"] == railway_toml()["build"]
    assert {name: web["deploy"][name] for name in railway_toml()["deploy"]} == railway_toml()["deploy"]
    assert set(web["deploy"]) - set(railway_toml()["deploy"]) == {"numReplicas"}


def test_a_worker_differs_from_the_front_door_by_its_command_and_its_role(
    described: dict[str, Document],
) -> None:
    web, worker = described["web"], described["worker"]

    assert {**web["deploy"], "startCommand": procfile()["worker"]} == worker["deploy"]
    assert web["build"] == worker["build"]
    assert dict(environment_of(web)) == {**environment_of(worker), "ROLE": "web"}
    assert environment_of(worker)["ROLE"] == "worker"


def test_procfile_says_what_the_platform_is_told() -> None:
    assert procfile()["web"].split() == image_of("Dockerfile.railway").last("CMD").words
    assert [procfile()["release"]] == railway_toml()["deploy"]["preDeployCommand"]
    assert railway_toml()["build"]["dockerfilePath"] == "Dockerfile.railway"


async def test_the_command_line_has_every_verb_that_is_deployed() -> None:
    _, out, _ = await run_command("--help", TERM="dumb", COLUMNS="100")

    known = set(re.findall(r"^│? ?([a-z]+) {2,}", out, re.MULTILINE))

    verbs = [command.split()[2:] for command in procfile().values()]
    assert [verb for verb in verbs if verb and verb[0] not in known] == []
    assert ["worker"] in verbs
    assert ["migrate"] in verbs


def test_the_platform_waits_longer_than_the_server_drains(described: dict[str, Document]) -> None:
    drain_s = Settings.model_fields["drain_seconds"].default

    for name in ("web", "worker"):
        deploy, environment = described[name]["deploy"], environment_of(described[name])
        assert environment["DRAIN_SECONDS"] == str(drain_s)
        assert deploy["drainingSeconds"] >= drain_s + ROOM_S
        assert environment["RAILWAY_DEPLOYMENT_DRAINING_SECONDS"] == str(deploy["drainingSeconds"])
        assert environment["RAILWAY_DEPLOYMENT_OVERLAP_SECONDS"] == str(deploy["overlapSeconds"])


def test_what_is_probed_is_served() -> None:
    app = railway_server.build(Settings(_env_file=None, DATABASE_URL="postgresql://db")).app

    probed = [railway_toml()["deploy"]["healthcheckPath"]]
    probed += re.findall(r"'(/health[a-z/]*)'", image_of("Dockerfile.railway").last("HEALTHCHECK").argument)

    assert len(probed) == 2
    assert [path for path in probed if path not in app.openapi()["paths"]] == []


def test_the_image_listens_where_the_settings_say() -> None:
    image, port = image_of("Dockerfile.railway"), str(Settings.model_fields["port"].default)

    assert image.environment["PORT"] == port
    assert image.last("EXPOSE").argument == port


def test_prometheus_looks_for_every_process_where_it_listens(described: dict[str, Document]) -> None:
    text = (ROOT / "deploy" / "observability" / "prometheus.yml").read_text(encoding="utf-8")
    asked = re.findall(r"^ +- (\w+)\.railway\.internal$", text, re.MULTILINE)
    ports = re.findall(r"^ +port: (\d+)$", text, re.MULTILINE)

    by_setup = {
        each.name: {variable.name: variable.value for variable in each.variables}
        for each in wanted(has_worker=True, has_nats=True, redis=None)
    }
    assert asked == ["web", "worker"]
    for name in asked:
        assert [environment_of(described[name])["PORT"]] == ports
        assert [by_setup[name]["PORT"]] == ports


@pytest.mark.parametrize("name", ["web", "worker"])
def test_with_its_secrets_a_service_has_the_settings_of_production(
    described: dict[str, Document], name: str
) -> None:
    environment = environment_of(described[name])
    kept = {variable for variable, value in environment.items() if value is None}
    # As the platform fills in references to other services.
    given = {n: re.sub(r"\$\{\{.+?\}\}", "x", v) for n, v in environment.items() if v is not None}
    known = {each for field in Settings.model_fields.values() for each in names_of(field.validation_alias)}

    settings = Settings(_env_file=None, **SECRETS, **given)  # type: ignore[arg-type]  # as the environment

    assert kept == set(SECRETS)
    assert {each for each in given if not each.startswith("RAILWAY_DEPLOYMENT_")} <= known
    assert settings.is_production
    assert settings.nats_url == "nats://switchyard:x@x:4222"


def test_nats_is_reached_as_its_configuration_says(described: dict[str, Document]) -> None:
    configured = (ROOT / "deploy" / "nats" / "nats.conf").read_text(encoding="utf-8")
    image, nats = image_of("Dockerfile.nats"), described["nats"]
    url = environment_of(described["web"])["NATS_URL"] or ""

    assert f"user: {url.removeprefix('nats://').partition(':')[0]}\n" in configured
    assert url.rpartition(":")[2] == image.environment["NATS_PORT"]
    assert image.last("EXPOSE").words == [image.environment["NATS_PORT"], image.environment["PORT"]]
    (mounted,) = nats["volumeAttachments"].values()
    assert mounted["mountPath"] == image.environment["NATS_STORE"]
    assert nats["deploy"]["healthcheckPath"] in image.last("HEALTHCHECK").argument
