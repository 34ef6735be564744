"""What the doctor makes of its facts; the facts themselves are asked for in tests/commands."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import orjson
import pytest

from commands.doctor.addresses import place_of, secrets_of, without
from commands.doctor.database import TROUBLES, clock_findings, database_findings, migration_findings
from commands.doctor.facts import DatabaseFacts, Facts, Fault, PortUser, ServiceFacts, WebFacts
from commands.doctor.finding import Broken, Finding, Level
from commands.doctor.project import data_api_findings, schema_findings
from commands.doctor.report import as_json, as_lines, is_well, summary
from commands.doctor.services import FAULTS, nats_findings, redis_findings
from commands.doctor.settings import mistakes, port_findings, settings_findings
from commands.doctor.verb import diagnose
from commands.doctor.watchers import report_findings, trace_findings
from commands.doctor.web import model_findings, project_findings
from foundation.db import Glance, MigrationError, Sight, Trouble, missing
from foundation.settings import Settings
from heavy_agents.runs import SCHEMA_VERSION

SIGHT = Sight("18.1", "postgres", is_standby=False, latency_ms=1.2, offset_s=0.01, applied={"1": "a"})
DATABASE = DatabaseFacts("db.example:5432/postgres", sight=SIGHT)
MODEL = WebFacts("api.example", status=200, names=("small", "large"), offset_s=0.3)
PRODUCTION = {
    "ENVIRONMENT": "production",
    "DATABASE_URL": "postgresql://u:p@h/d",
    "SUPABASE_URL": "https://p.supabase.co",
    "RAILWAY_BACKEND_SECRET": "r" * 32,
    "METRICS_TOKEN": "m" * 16,
    "ALLOWED_ORIGINS": "https://app.example",
}


def settings(**variables: object) -> Settings:
    return Settings(_env_file=None, **variables)  # type: ignore[arg-type]


def levels(findings: list[Finding]) -> list[Level]:
    return [each.level for each in findings]


def none_missing(_applied: Mapping[str, str]) -> list[str]:
    return []


def test_every_mistake_of_the_settings_is_a_finding_that_names_its_variable() -> None:
    found = mistakes(["PORT: got 'x', wants a port number", "HOST: got ' ', wants an address"])

    assert levels(found) == [Level.WRONG, Level.WRONG]
    assert [each.says.partition(":")[0] for each in found] == ["PORT", "HOST"]
    assert [each.todo.partition(";")[0] for each in found] == ["set PORT", "set HOST"]


def test_settings_in_order_say_so_and_nothing_else() -> None:
    assert levels(settings_findings(settings(**PRODUCTION))) == [Level.OK]
    assert levels(settings_findings(settings())) == [Level.OK]


@pytest.mark.parametrize(
    ("variables", "sentence"),
    [
        ({"ALLOWED_ORIGINS": ""}, "ALLOWED_ORIGINS is not set"),
        ({"ALLOWED_ORIGINS": "*"}, "ALLOWED_ORIGINS=*"),
        ({"CREDITS_OWNER": "off"}, "CREDITS_OWNER=off"),
        ({"SUPABASE_URL": "http://p.example"}, "SUPABASE_URL is not https"),
        (
            {
                "SUPABASE_URL": "http://p.example",
                "DATABASE_URL": "",
                "SUPABASE_SECRET_KEY": "sb_secret_0123456789",
            },
            "and the secret key be read",
        ),
        ({"OPENAI_API_KEY": "a", "LOVABLE_API_KEY": "b"}, "are both set"),
        ({"LOVABLE_API_KEY": "b", "OPENAI_BASE_URL": "https://m.example/v1"}, "is sent to OPENAI_BASE_URL"),
        ({"MCP_SERVERS": "*"}, "MCP_SERVERS=*"),
    ],
)
def test_a_choice_that_may_surprise_is_a_warning(variables: dict[str, str], sentence: str) -> None:
    found = settings_findings(settings(**{**PRODUCTION, **variables}))

    assert levels(found) == [Level.OK, Level.WARNING]
    assert sentence in found[1].says


def test_production_on_the_embedded_database_is_a_warning() -> None:
    variables = {**PRODUCTION, "ALLOW_EMBEDDED": "1", "SUPABASE_JWT_SECRET": "s" * 32}
    kept = {name: each for name, each in variables.items() if name not in {"DATABASE_URL", "SUPABASE_URL"}}

    (warning,) = settings_findings(settings(**kept))[1:]

    assert "thrown away" in warning.says


@pytest.mark.parametrize(
    ("user", "level"),
    [
        (PortUser.NOBODY, Level.OK),
        (PortUser.A_SERVER, Level.OK),
        (PortUser.A_STRANGER, Level.WARNING),
        (PortUser.FORBIDDEN, Level.WRONG),
        (Broken("no"), Level.WRONG),
    ],
)
def test_a_port_is_free_ours_or_taken(user: PortUser | Broken, level: Level) -> None:
    assert levels(port_findings(user, 8000)) == [level]


def test_a_database_that_can_be_used_says_which_one_it_is() -> None:
    (found,) = database_findings(DATABASE)

    assert found == Finding(
        "database", Level.OK, "Postgres 18.1, db.example:5432/postgres as postgres, 1.2 ms"
    )


@pytest.mark.parametrize("trouble", Trouble)
def test_every_trouble_of_a_database_has_a_sentence_and_something_to_do(trouble: Trouble) -> None:
    (found,) = database_findings(DatabaseFacts("db.example", trouble=trouble, state="28P01"))

    assert set(TROUBLES) == set(Trouble)
    assert found.level is Level.WRONG
    assert found.says.startswith("db.example: ")
    assert found.says.endswith("(SQLSTATE 28P01)")
    assert found.todo


@pytest.mark.parametrize(
    ("facts", "level", "sentence"),
    [
        (replace(DATABASE, is_pooled=True), Level.WARNING, "6543"),
        (replace(DATABASE, sight=replace(SIGHT, latency_ms=180.0)), Level.WARNING, "180 ms"),
        (replace(DATABASE, sight=replace(SIGHT, is_standby=True)), Level.WRONG, "standby"),
    ],
)
def test_what_is_odd_about_a_database_is_said_beside_it(
    facts: DatabaseFacts, level: Level, sentence: str
) -> None:
    found = database_findings(facts)

    assert levels(found) == [Level.OK, level]
    assert sentence in found[1].says


def test_missing_migrations_are_counted_and_come_with_the_command(tmp_path: Path) -> None:
    for name in ("1_a.sql", "2_b.sql", "3_c.sql"):
        (tmp_path / name).touch()

    (found,) = migration_findings(DATABASE, lambda applied: missing(tmp_path, applied))

    assert found.level is Level.WRONG
    assert found.says == "2 of this release are missing, from 2_b.sql on"
    assert found.todo.startswith("python railway_server.py migrate")


def test_migrations_out_of_order_are_named() -> None:
    def out_of_order(_applied: Mapping[str, str]) -> list[str]:
        raise MigrationError("2_b.sql was not applied, but the later 3_c.sql was")

    (found,) = migration_findings(DATABASE, out_of_order)

    assert (found.level, found.says) == (Level.WRONG, "2_b.sql was not applied, but the later 3_c.sql was")


def test_migrations_wait_for_a_database() -> None:
    unseen = DatabaseFacts("db.example", trouble=Trouble.BAD_LOGIN)

    assert levels(migration_findings(unseen, none_missing)) == [Level.SKIPPED]
    assert levels(migration_findings(DatabaseFacts("x", is_embedded=True), none_missing)) == [Level.OFF]


@pytest.mark.parametrize(
    ("offset_s", "level"),
    [
        (0.0, Level.OK),
        (-1.9, Level.OK),
        (2.1, Level.WARNING),
        (-29.9, Level.WARNING),
        (30.1, Level.WRONG),
        (-90_000.0, Level.WRONG),
    ],
)
def test_a_clock_may_be_30_seconds_away_from_the_databases(offset_s: float, level: Level) -> None:
    facts = replace(DATABASE, sight=replace(SIGHT, offset_s=offset_s))

    (found,) = clock_findings(facts, {})

    assert found.level is level


def test_a_clock_is_compared_with_all_that_tell_the_time() -> None:
    others = {"the model endpoint": replace(MODEL, offset_s=3_600.0), "the project": None}

    (found,) = clock_findings(DATABASE, others)

    assert found.says == "this machine is 3600 s before the model endpoint; 30 s is the most"
    assert levels(clock_findings(Broken("no"), {"the project": None})) == [Level.SKIPPED]


@pytest.mark.parametrize(
    ("facts", "level", "sentence"),
    [
        (None, Level.OFF, "OPENAI_API_KEY is not set"),
        (MODEL, Level.OK, "takes the key and has small"),
        (replace(MODEL, status=401, names=None), Level.WRONG, "refuses the key (401)"),
        (replace(MODEL, status=404, names=None), Level.WARNING, "lists no models (404)"),
        (replace(MODEL, status=429, names=None), Level.WARNING, "no more requests"),
        (replace(MODEL, status=502, names=None), Level.WRONG, "answers with 502"),
        (replace(MODEL, names=None), Level.WARNING, "not with a list"),
        (replace(MODEL, names=("smell", "else")), Level.WRONG, "has no model small"),
        (WebFacts("api.example", failure="api.example cannot be reached"), Level.WRONG, "cannot be reached"),
        (Broken("not finished within 15 s"), Level.WRONG, "not finished"),
    ],
)
def test_a_model_endpoint_is_told_by_what_it_answers(
    facts: WebFacts | Broken | None, level: Level, sentence: str
) -> None:
    (found,) = model_findings(facts, settings(OPENAI_API_KEY="k", DEFAULT_MODEL="small"))

    assert found.level is level
    assert sentence in found.says


def test_the_key_that_is_refused_is_named_and_so_is_a_model_that_is_near() -> None:
    refused = model_findings(replace(MODEL, status=403), settings(LOVABLE_API_KEY="k"))
    unknown = model_findings(replace(MODEL, names=("smell", "else")), settings(DEFAULT_MODEL="small"))

    assert refused[0].todo == "set LOVABLE_API_KEY to a key it takes"
    assert unknown[0].todo.startswith("set DEFAULT_MODEL; it has smell")


@pytest.mark.parametrize(
    ("facts", "level"),
    [
        (None, Level.OFF),
        (WebFacts("p", status=200, names=("k",)), Level.OK),
        (WebFacts("p", status=200, names=()), Level.WRONG),
        (WebFacts("p", status=200, names=None), Level.WRONG),
        (WebFacts("p", status=404), Level.WRONG),
        (WebFacts("p", failure="p cannot be reached"), Level.WRONG),
    ],
)
def test_a_project_must_publish_its_keys(facts: WebFacts | None, level: Level) -> None:
    assert levels(project_findings(facts, settings())) == [level]


def test_a_project_without_published_keys_is_fine_with_a_shared_secret() -> None:
    found = project_findings(WebFacts("p", status=200, names=()), settings(SUPABASE_JWT_SECRET="s" * 32))

    assert levels(found) == [Level.OK]


def test_nats_and_redis_are_off_or_on_or_at_fault() -> None:
    service = ServiceFacts("h:1", "2.10", has_streams=True)

    assert levels(nats_findings(None) + redis_findings(None)) == [Level.OFF, Level.OFF]
    assert levels(nats_findings(service) + redis_findings(service)) == [Level.OK, Level.OK]
    assert levels(nats_findings(replace(service, has_streams=False))) == [Level.WARNING]
    assert set(FAULTS) == set(Fault)
    for fault in Fault:
        (found,) = redis_findings(replace(service, fault=fault))
        assert found.level is Level.WRONG
        assert "REDIS_URL" in found.todo
        assert "{" not in found.todo


@pytest.mark.parametrize(
    ("facts", "level", "sentence"),
    [
        (None, Level.OFF, "nothing is traced"),
        (WebFacts("c:4318", status=200), Level.OK, "c:4318 takes spans; 1 of the traces is kept"),
        (WebFacts("c:4318", status=401), Level.WRONG, "refuses the spans (401)"),
        (WebFacts("c:4317", status=404), Level.WRONG, "takes no spans there (404)"),
        (WebFacts("c:4318", failure="c could not be reached"), Level.WRONG, "could not be reached"),
        (Broken("not finished within 15 s"), Level.WRONG, "not finished"),
    ],
)
def test_a_collector_is_told_by_what_it_answers(
    facts: WebFacts | Broken | None, level: Level, sentence: str
) -> None:
    (found,) = trace_findings(facts, settings())

    assert found.level is level
    assert sentence in found.says


def test_a_collector_that_gets_nothing_is_something_to_know_about() -> None:
    (found,) = trace_findings(WebFacts("c:4318", status=200), settings(OTEL_TRACES_SAMPLER_ARG=0))

    assert found.level is Level.WARNING


def test_where_faults_are_reported_is_told_without_the_key() -> None:
    (told,) = report_findings(settings(SENTRY_DSN="https://the-key@sentry.example/1"))
    (unset,) = report_findings(settings())

    assert told.says == "faults are reported to sentry.example, which was not asked"
    assert unset.level is Level.OFF


def test_a_check_that_broke_is_wrong_and_the_others_are_told_all_the_same() -> None:
    broken = Broken("the check broke: RuntimeError: no")
    facts = Facts(broken, broken, model=broken, project=broken, nats=broken, redis=broken, collector=broken)

    found = diagnose(settings(), facts)

    said = [each.check for each in found if each.says == broken.why]
    assert said == ["port", "database", "model", "project", "NATS", "Redis", "traces"]
    assert not is_well(found)


def test_only_what_is_wrong_fails_the_whole() -> None:
    facts = Facts(PortUser.A_STRANGER, DATABASE, model=None, project=None, nats=None, redis=None)

    found = diagnose(settings(), facts)[:3]

    assert Level.WARNING in levels(found)
    assert is_well(found)
    assert summary(found) == "nothing is wrong, 1 to know about"


def test_a_program_gets_every_finding_and_one_verdict() -> None:
    found = [Finding("port", Level.OK, "free"), Finding("model", Level.WRONG, "refused", "set it")]

    assert orjson.loads(as_json(found)) == {
        "ok": False,
        "findings": [
            {"check": "port", "level": "ok", "says": "free", "do": None},
            {"check": "model", "level": "wrong", "says": "refused", "do": "set it"},
        ],
    }
    assert list(as_lines(found)) == [
        "ok       port: free",
        "wrong    model: refused",
        "         do: set it",
        "1 wrong",
    ]


@pytest.mark.parametrize(
    ("url", "place"),
    [
        ("postgresql://u:p%40ss@db.example:5432/name?sslmode=require", "db.example:5432/name"),
        ("redis://:p@[::1]:6379/0", "[::1]:6379/0"),
        ("nats://token@nats.example", "nats.example"),
        ("postgresql://u:p@h:port/d", "h/d"),
    ],
)
def test_an_address_is_shown_without_what_lets_one_in(url: str, place: str) -> None:
    assert place_of(url) == place


def test_secrets_leave_a_text_however_they_came_into_it() -> None:
    secrets = secrets_of(
        settings(
            DATABASE_URL="postgresql://u:p%40ssword@h/d",
            NATS_URL="nats://t0ken-of-nats@h",
            REDIS_URL="redis://:redis-pass@h",
            OPENAI_API_KEY="the-key",
        )
    )

    told = without("p@ssword p%40ssword t0ken-of-nats redis-pass the-key stays", secrets)

    assert told == "[hidden] [hidden] [hidden] [hidden] [hidden] stays"


GLANCE = Glance(schema=SCHEMA_VERSION, latency_ms=4.2, offset_s=0.1)
PROJECT = DatabaseFacts("the Data API of p.supabase.co", is_project=True, glance=GLANCE)


def test_a_project_as_the_database_is_well_when_it_takes_the_key_and_has_the_schema() -> None:
    found = [
        *database_findings(PROJECT),
        *migration_findings(PROJECT, none_missing),
        *clock_findings(PROJECT, {}),
    ]

    assert levels(found) == [Level.OK] * 3
    assert found[0].says == "the Data API of p.supabase.co takes the key, 4.2 ms"
    assert found[2].says == "in time with the database"


def test_a_project_far_away_is_a_warning() -> None:
    far = replace(PROJECT, glance=replace(GLANCE, latency_ms=180.0))

    assert levels(data_api_findings(far)) == [Level.OK, Level.WARNING]


@pytest.mark.parametrize("schema", [None, 2])
def test_a_project_without_this_releases_schema_is_wrong(schema: int | None) -> None:
    (found,) = schema_findings(replace(GLANCE, schema=schema), needed=3)

    assert found.level is Level.WRONG
    assert "supabase db push --remote" in found.todo


@pytest.mark.parametrize("trouble", list(Trouble))
def test_every_trouble_with_a_project_says_what_to_do(trouble: Trouble) -> None:
    unseen = DatabaseFacts(
        "the Data API of p.supabase.co", is_project=True, trouble=trouble, state="PGRST301"
    )

    (found,) = database_findings(unseen)
    (migrations,) = migration_findings(unseen, none_missing)

    assert (found.level, migrations.level) == (Level.WRONG, Level.SKIPPED)
    assert found.todo
    assert "DATABASE_URL" not in found.todo
    assert "PGRST301" in found.says
