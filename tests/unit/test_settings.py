from __future__ import annotations

import base64
import json
from pathlib import Path

import pytest

from foundation.settings import CreditsOwner, Environment, Role, Settings, SettingsError, load

PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://u:p@db.example/app",
    "SUPABASE_URL": "https://ref.supabase.co/",
    "RAILWAY_BACKEND_SECRET": "r" * 32,
    "METRICS_TOKEN": "m" * 16,
}


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory) -> None:
    """An environment without settings, in a folder without `.env`."""
    for field in Settings.model_fields.values():
        for name in getattr(field.validation_alias, "choices", ()):
            monkeypatch.delenv(str(name), raising=False)
    monkeypatch.chdir(tmp_path_factory.mktemp("empty"))


def legacy_key(role: str) -> str:
    claims = base64.urlsafe_b64encode(json.dumps({"iss": "supabase", "role": role}).encode()).decode()
    return f"e30.{claims.rstrip('=')}.short-secret"


def mistakes(monkeypatch: pytest.MonkeyPatch, **variables: str) -> list[str]:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsError) as refused:
        load()
    return refused.value.lines


def test_nothing_needs_to_be_set_for_development() -> None:
    settings = load()

    assert settings.environment is Environment.DEVELOPMENT
    assert settings.port == 8000
    assert settings.credits_owner is CreditsOwner.BACKEND
    assert settings.jwks_url is None


def test_a_mistake_is_a_line_with_the_variable_what_it_got_and_what_it_wants(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = mistakes(monkeypatch, PORT="many", DRAIN_SECONDS="0")

    assert lines == [
        "PORT: got 'many', wants a port number, 0 to 65535 (0 picks a free one)",
        "DRAIN_SECONDS: got '0', wants seconds between SIGTERM and the end, 1 to 600",
    ]


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("SUPABASE_JWT_SECRET", "short-secret"),
        ("RAILWAY_BACKEND_SECRET", "short-secret"),
        ("METRICS_TOKEN", "short-secret"),
        ("DATABASE_URL", "mysql://user:short-secret@db"),
        ("REDIS_URL", "http://user:short-secret@redis"),
        ("REDIS_URL", "redis://user:short-secret/with-a-slash@redis:6379"),
        ("NATS_URL", "http://user:short-secret@nats"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "no-pair-short-secret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=short-secret,b="),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api key=short-secret"),
        ("OTEL_EXPORTER_OTLP_HEADERS", "api-key=short-secret%0D%0Ahost: x"),
        ("SENTRY_DSN", "https://short-secret@sentry.example"),
        ("SENTRY_DSN", "https://sentry.example/short-secret/1"),
        ("SENTRY_DSN", "ftp://short-secret@sentry.example/1"),
        ("SUPABASE_SECRET_KEY", "sb_publishable_short-secret"),
        ("SUPABASE_SECRET_KEY", "sb_secret_"),
        ("SUPABASE_SECRET_KEY", "sb_secret_short-secret\n"),
        ("SUPABASE_SECRET_KEY", legacy_key("anon")),
        ("SUPABASE_SECRET_KEY", "short-secret.short-secret.short-secret"),
    ],
)
def test_a_refused_secret_is_not_repeated(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    (line,) = mistakes(monkeypatch, **{variable: value})

    assert line.startswith(f"{variable}: got ")
    assert "short-secret" not in line


@pytest.mark.parametrize("missing", [name for name in PRODUCTION if name != "ENVIRONMENT"])
def test_production_does_not_start_without_what_it_needs(
    monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    given = {name: value for name, value in PRODUCTION.items() if name != missing}

    lines = mistakes(monkeypatch, **given)

    assert any(line.startswith(f"{missing}: not set, wants ") for line in lines)


def test_a_complete_production_environment_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)

    settings = load()

    assert settings.is_production
    assert settings.issuer == "https://ref.supabase.co/auth/v1"
    assert settings.jwks_url == "https://ref.supabase.co/auth/v1/.well-known/jwks.json"
    assert set(settings.secrets) == {"r" * 32, "m" * 16}


@pytest.mark.parametrize("name", ["RAILWAY_ENVIRONMENT", "NODE_ENV", "ENVIRONMENT"])
def test_the_platforms_own_names_for_the_environment_count(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    assert mistakes(monkeypatch, **{name: "staging"})  # as strict as production


def test_a_variable_set_to_nothing_counts_as_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", " ")
    monkeypatch.setenv("METRICS_TOKEN", "")

    settings = load()

    assert settings.database_url is None
    assert settings.metrics_token is None


def test_origins_are_written_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALLOWED_ORIGINS", "https://a.example, https://b.example")

    assert load().allowed_origins == ("https://a.example", "https://b.example")


def test_the_gateways_key_alone_selects_the_gateway(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOVABLE_API_KEY", "gateway-key")

    address, key = load().model_endpoint

    assert address is not None
    assert address.startswith("https://ai.gateway.")
    assert key is not None
    assert key.get_secret_value() == "gateway-key"


def test_an_own_key_comes_before_the_gateways(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOVABLE_API_KEY", "gateway-key")
    monkeypatch.setenv("OPENAI_API_KEY", "own-key")

    address, key = load().model_endpoint

    assert address is None
    assert key is not None
    assert key.get_secret_value() == "own-key"


def test_every_key_is_a_secret_for_the_log(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOVABLE_API_KEY", "gateway-key")
    monkeypatch.setenv("OPENAI_API_KEY", "own-key")

    assert set(load().secrets) == {"gateway-key", "own-key"}


def test_an_env_file_that_is_no_text_is_one_line_too() -> None:
    Path(".env").write_bytes(b"PORT=80\nNAME=\xff\xfe\n")

    with pytest.raises(SettingsError) as refused:
        load()

    assert refused.value.lines == [".env: holds bytes that are not UTF-8, wants UTF-8 text"]


def test_the_password_of_a_wrong_address_is_not_repeated(monkeypatch: pytest.MonkeyPatch) -> None:
    (line,) = mistakes(monkeypatch, OPENAI_BASE_URL="ftp://user:a-password@models.example")

    assert line.startswith("OPENAI_BASE_URL: got something else, wants")


@pytest.mark.parametrize(
    ("role", "serves", "executes"), [("web", True, False), ("worker", False, True), ("ALL", True, True)]
)
def test_the_role_says_what_a_process_does(
    monkeypatch: pytest.MonkeyPatch, role: str, *, serves: bool, executes: bool
) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db")
    monkeypatch.setenv("ROLE", role)

    found = load().role

    assert (found.serves_callers, found.executes_runs) == (serves, executes)


def test_the_command_goes_over_the_role_that_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "postgresql://db")
    monkeypatch.setenv("ROLE", "web")

    assert load(role=Role.WORKER).role is Role.WORKER


@pytest.mark.parametrize("role", ["web", "worker"])
def test_a_role_that_shares_the_work_wants_a_database_to_share(
    monkeypatch: pytest.MonkeyPatch, role: str
) -> None:
    lines = mistakes(monkeypatch, ROLE=role)

    assert lines == [f"DATABASE_URL: not set, wants the database that ROLE={role} shares with the others"]


@pytest.mark.parametrize("variable", ["RAILWAY_PROJECT_ID", "RAILWAY_ENVIRONMENT_ID", "RAILWAY_SERVICE_ID"])
def test_railway_is_known_by_what_it_sets(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    assert not load().is_on_railway
    monkeypatch.setenv(variable, "3f2c")
    assert load().is_on_railway
    monkeypatch.setenv(variable, " ")
    assert not load().is_on_railway


def test_production_alone_is_not_railway(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in PRODUCTION.items():
        monkeypatch.setenv(name, value)

    assert not load().is_on_railway


def test_traces_go_below_the_collectors_address_unless_it_takes_them_elsewhere(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert load().traces_url is None

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318/")
    assert load().traces_url == "http://collector:4318/v1/traces"

    monkeypatch.setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://api.example/spans")
    assert load().traces_url == "https://api.example/spans"


def test_headers_of_a_collector_are_pairs_whose_values_are_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_HEADERS", "X-Team=a%20b%3D, authorization=Basic cXc=,")

    settings = load()

    assert settings.otlp_headers == {"x-team": "a b=", "authorization": "Basic cXc="}
    assert {"a b=", "Basic cXc="} <= set(settings.secrets)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "collector:4318"),
        ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
        ("OTEL_TRACES_SAMPLER_ARG", "1.5"),
        ("OTEL_TRACES_SAMPLER_ARG", "always"),
        ("OTEL_TRACES_SAMPLER_ARG", "nan"),
        ("OTEL_SERVICE_NAME", ""),
    ],
)
def test_a_wrong_setting_of_traces_is_refused(
    monkeypatch: pytest.MonkeyPatch, variable: str, value: str
) -> None:
    (line,) = mistakes(monkeypatch, **{variable: value})

    assert line.startswith(f"{variable}: got {value!r}, wants ")


def test_a_dsn_may_have_a_path_and_a_port(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SENTRY_DSN", "http://key@sentry.internal:9000/prefix/42")

    assert load().sentry_dsn is not None


@pytest.mark.parametrize("name", ["SUPABASE_SECRET_KEY", "SUPABASE_SERVICE_ROLE_KEY"])
@pytest.mark.parametrize("key", ["sb_secret_0123456789", legacy_key("service_role")])
def test_a_project_and_its_secret_key_are_a_database(
    monkeypatch: pytest.MonkeyPatch, name: str, key: str
) -> None:
    for variable, value in PRODUCTION.items():
        if variable != "DATABASE_URL":
            monkeypatch.setenv(variable, value)
    monkeypatch.setenv(name, key)
    monkeypatch.setenv("ROLE", "worker")

    settings = load()

    assert settings.data_api is not None
    assert (settings.data_api[0], settings.data_api[1].get_secret_value()) == ("https://ref.supabase.co", key)
    assert not settings.is_embedded
    assert key in settings.secrets


def test_an_address_of_the_database_goes_before_the_projects_key(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, value in PRODUCTION.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setenv("SUPABASE_SECRET_KEY", "sb_secret_0123456789")

    settings = load()

    assert settings.data_api is None
    assert not settings.is_embedded


def test_half_of_a_project_is_a_mistake(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as first:
        (line,) = mistakes(first, SUPABASE_URL="https://ref.supabase.co")
        assert line.startswith("DATABASE_URL: not set, wants the Postgres connection string of the project")
        assert "SUPABASE_SECRET_KEY" in line
    (line,) = mistakes(monkeypatch, SUPABASE_SECRET_KEY="sb_secret_0123456789")
    assert line.startswith("SUPABASE_URL: not set, wants the address of the project whose key is in")
