"""Setting up on Railway, against a stand-in for its command line: all of it, once, and no more than that."""

from __future__ import annotations

import json
import os
import pty
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from copy import deepcopy
from pathlib import Path

import pytest

from tests.support.process import ROOT, environment
from tests.support.railway import PROGRAM, Account, Stub, stubbed

SECRETS = {
    "DATABASE_URL": "postgresql://postgres.ref:the-database-password@pooler.example:6543/postgres",
    "OPENAI_API_KEY": "sk-the-key-of-the-model",
}
GIVEN = {"SUPABASE_URL": "https://ref.supabase.co", "ALLOWED_ORIGINS": "https://app.example", **SECRETS}
ALL = ("--nats", "--redis")
# That a whole set-up takes.
STEPS = 21
LIMIT_S = 60


class Stand:
    """A folder with the scripts in it, and a stub of Railway's command line on PATH."""

    def __init__(self, folder: Path, stub: Stub, port: int) -> None:
        self.folder, self.stub = folder, stub
        self.script = folder / "repository" / "scripts" / "railway-setup.sh"
        shutil.copytree(ROOT / "scripts", self.script.parent)
        repository = self.script.parents[1]
        (repository / "Dockerfile.nats").write_text(
            "COPY --from=nats /nats /nats\nCOPY deploy/nats /opt/nats\n"
        )
        files = repository / "deploy" / "nats"
        files.mkdir(parents=True)
        (files / "nats.conf").write_text("port: 4222\n")
        program = folder / "bin" / "railway"
        program.parent.mkdir()
        program.write_text(PROGRAM)
        program.chmod(0o755)
        path = f"{program.parent}:{os.environ['PATH']}"
        self.settings = {**environment({}), "PATH": path, "STUB_PORT": str(port)}

    def run(self, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.script, *arguments],
            env={**self.settings, **settings},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
            check=False,
        )


@pytest.fixture
def stand(tmp_path: Path) -> Iterator[Stand]:
    with stubbed() as (stub, port):
        yield Stand(tmp_path, stub, port)


def test_everything_is_made_once_and_a_second_run_changes_nothing(stand: Stand) -> None:
    first = stand.run("--yes", *ALL, **GIVEN)
    made, changed = deepcopy(stand.stub.account), len(stand.stub.changes)
    second = stand.run("--yes", *ALL)

    assert first.returncode == 0, first.stderr
    assert "scripts/verify-deployment.sh https://web-production.up.railway.app" in first.stdout
    assert_complete(made)
    assert changed == STEPS
    assert second.returncode == 0, second.stderr
    assert "Everything is as it should be; nothing is changed." in second.stdout
    assert (stand.stub.account, len(stand.stub.changes)) == (made, changed)


def test_no_secret_is_an_argument_of_a_command_or_printed(stand: Stand) -> None:
    done = stand.run("--yes", *ALL, **GIVEN)

    made = stand.stub.account.named("web")["variables"]
    password = stand.stub.account.named("nats")["variables"]["NATS_PASSWORD"]
    secrets = [*SECRETS.values(), made["RAILWAY_BACKEND_SECRET"], made["METRICS_TOKEN"], password]
    assert min(map(len, secrets)) >= 20
    argued = json.dumps([call.argv for call in stand.stub.calls])
    for secret in secrets:
        assert secret not in argued
        assert secret not in done.stdout + done.stderr


def test_a_worker_has_the_secrets_of_web_by_reference(stand: Stand) -> None:
    stand.run("--yes", **GIVEN)

    variables = stand.stub.account.named("worker")["variables"]
    assert variables["ROLE"] == "worker"
    assert variables["DATABASE_URL"] == "${{web.DATABASE_URL}}"
    assert variables["METRICS_TOKEN"] == "${{web.METRICS_TOKEN}}"


def test_without_a_worker_web_does_both(stand: Stand) -> None:
    stand.run("--yes", "--no-worker", **GIVEN)

    assert [each["name"] for each in stand.stub.account.services.values()] == ["web"]
    assert stand.stub.account.named("web")["variables"]["ROLE"] == "all"


def test_what_nobody_has_given_is_not_set_anywhere(stand: Stand) -> None:
    needed = {name: GIVEN[name] for name in ("SUPABASE_URL", "DATABASE_URL")}
    done = stand.run("--yes", **needed)

    assert done.returncode == 0, done.stderr
    for service in stand.stub.account.services.values():
        assert not {"OPENAI_API_KEY", "ALLOWED_ORIGINS"} & set(service["variables"])


def test_the_message_server_is_uploaded_with_its_own_files_alone(stand: Stand) -> None:
    stand.run("--yes", "--nats", **GIVEN)

    nats = stand.stub.account.named("nats")
    assert [deployment["files"] for deployment in nats["up"]] == [
        ["Dockerfile.nats", "deploy/nats/nats.conf"]
    ]
    assert nats["volumes"] == ["/data"]


def test_a_run_that_is_cut_after_any_step_is_gone_on_with_by_the_next(stand: Stand) -> None:
    """A step had its effect, and nobody heard of its success."""
    stand.stub.fails = "after"
    cuts: list[str] = []
    while (done := stand.run("--yes", *ALL, **GIVEN)).returncode != 0:
        cuts.append(done.stderr)

    assert_complete(stand.stub.account)
    assert all("railway-setup: stopped at “" in said for said in cuts), cuts
    assert not any(secret in said for said in cuts for secret in SECRETS.values())
    assert len(cuts) == len(stand.stub.changes) == STEPS


def test_a_step_that_fails_is_named_and_nothing_after_it_is_done(stand: Stand) -> None:
    stand.stub.fails = "before"

    done = stand.run("--yes", **GIVEN)

    assert done.returncode == 1
    assert "stopped at “create the project switchyard”: the connection was lost" in done.stderr
    assert (stand.stub.changes, stand.stub.account) == (["init"], Account())


def test_a_project_that_is_there_is_linked_and_not_made_again(stand: Stand) -> None:
    project = {"id": "the-id", "name": "switchyard", "deletedAt": None}
    stand.stub.account = Account(project=project)

    done = stand.run("--yes", **GIVEN)

    assert done.returncode == 0, done.stderr
    assert stand.stub.changes[0] == "link"
    assert "init" not in stand.stub.changes
    assert stand.stub.account.project == project


def test_another_project_is_left_alone(stand: Stand) -> None:
    stand.stub.account = Account(project={"id": "1", "name": "shop", "deletedAt": None}, is_linked=True)

    done = stand.run("--yes", "--project", "switchyard", **GIVEN)

    assert done.returncode == 1
    assert "linked to the project shop, not switchyard" in done.stderr
    assert stand.stub.changes == []


def test_what_is_set_stays_and_is_said(stand: Stand) -> None:
    account = Account(project={"id": "1", "name": "switchyard", "deletedAt": None}, is_linked=True)
    account.add("web", DATABASE_URL="postgresql://of-somebody", ENVIRONMENT="staging", METRICS_TOKEN="m" * 16)
    stand.stub.account = account

    done = stand.run("--yes", **GIVEN)

    variables = stand.stub.account.named("web")["variables"]
    assert variables["DATABASE_URL"] == "postgresql://of-somebody"
    assert variables["METRICS_TOKEN"] == "m" * 16
    assert variables["ENVIRONMENT"] == "staging"
    assert "ENVIRONMENT of web stays staging; production would be set with --force ENVIRONMENT" in done.stdout
    assert "m" * 16 not in done.stdout


def test_what_is_forced_is_set_again_and_nothing_else(stand: Stand) -> None:
    stand.run("--yes", **GIVEN)
    before = dict(stand.stub.account.named("web")["variables"])

    stand.run("--yes", "--force", "DATABASE_URL", DATABASE_URL="postgresql://another")

    after = stand.stub.account.named("web")["variables"]
    assert after == {**before, "DATABASE_URL": "postgresql://another"}


def test_a_dry_run_shows_every_command_and_runs_none(stand: Stand) -> None:
    shown = stand.run("--dry-run", *ALL, **GIVEN)
    before = deepcopy(stand.stub.account)
    done = stand.run("--yes", *ALL, **GIVEN)

    assert shown.returncode == 0, shown.stderr
    assert before == Account()
    assert "This was a dry run: nothing was changed." in shown.stdout
    assert not any(secret in shown.stdout for secret in SECRETS.values())
    assert steps(shown.stdout) == steps(done.stdout)
    assert "railway variable set DATABASE_URL --stdin --service web" in shown.stdout


def test_without_a_deployment_nothing_is_built(stand: Stand) -> None:
    stand.run("--yes", "--no-deploy", **GIVEN)

    assert "up" not in stand.stub.changes
    assert stand.stub.account.named("web")["url"]


@pytest.mark.parametrize(
    ("arguments", "settings", "says"),
    [
        ((), GIVEN, "nobody is there to be asked; say --yes"),
        (("--yes",), {}, "DATABASE_URL: the Postgres connection string"),
        (("--yes",), {**GIVEN, "SUPABASE_URL": "ref.supabase.co"}, "SUPABASE_URL is wrong"),
        (("--yes", "--force", "NO_SUCH"), GIVEN, "--force NO_SUCH"),
    ],
)
def test_what_cannot_be_done_is_said_before_anything_is_changed(
    stand: Stand, arguments: Sequence[str], settings: dict[str, str], says: str
) -> None:
    done = stand.run(*arguments, **settings)

    assert (done.returncode, stand.stub.changes) == (1, [])
    assert says in done.stderr


@pytest.mark.parametrize(
    ("account", "says"),
    [
        (Account(user=""), "nobody is logged in to Railway. Run `railway login`"),
        (Account(version="3.9.0"), "railway 3.9.0; 5 is needed"),
    ],
)
def test_a_command_line_that_will_not_do_is_said(stand: Stand, account: Account, says: str) -> None:
    stand.stub.account = account

    done = stand.run("--yes", **GIVEN)

    assert (done.returncode, stand.stub.changes) == (1, [])
    assert says in done.stderr


def test_without_the_command_line_it_says_how_to_get_it(stand: Stand) -> None:
    (stand.folder / "bin" / "railway").unlink()

    done = stand.run("--yes", **GIVEN, PATH=path_without_railway(stand.folder))

    assert done.returncode == 1
    assert "Get it: npm install -g @railway/cli" in done.stderr


def test_whoever_is_asked_and_says_no_has_changed_nothing(stand: Stand) -> None:
    shown, code = talk(stand, [("steps?", "no")], **GIVEN)

    assert (code, stand.stub.changes) == (1, [])
    assert "Nothing was changed." in shown


def test_what_is_missing_is_asked_for_and_secrets_are_not_echoed(stand: Stand) -> None:
    dialogue = [
        ("SUPABASE_URL", "ref.supabase.co"),
        ("SUPABASE_URL is wrong", GIVEN["SUPABASE_URL"]),
        ("DATABASE_URL", SECRETS["DATABASE_URL"]),
        ("OPENAI_API_KEY", ""),
        ("ALLOWED_ORIGINS", "https://app.example"),
        ("steps?", "y"),
    ]
    shown, code = talk(stand, dialogue)

    assert code == 0, shown
    assert "the-database-password" not in shown
    variables = stand.stub.account.named("web")["variables"]
    assert variables["DATABASE_URL"] == SECRETS["DATABASE_URL"]
    assert variables["ALLOWED_ORIGINS"] == "https://app.example"
    assert "OPENAI_API_KEY" not in variables


def assert_complete(account: Account) -> None:
    services = {each["name"]: each for each in account.services.values()}
    assert set(services) == {"web", "worker", "nats", "Redis"}
    web, worker = services["web"], services["worker"]
    for name, value in GIVEN.items():
        assert web["variables"][name] == value
        assert account.rendered(worker["variables"][name]) == value
    for each, role in ((web, "web"), (worker, "worker")):
        variables = each["variables"]
        assert (variables["ROLE"], variables["ENVIRONMENT"]) == (role, "production")
        assert int(variables["DRAIN_SECONDS"]) < int(variables["RAILWAY_DEPLOYMENT_DRAINING_SECONDS"])
        password = services["nats"]["variables"]["NATS_PASSWORD"]
        address = f"nats://switchyard:{password}@nats.railway.internal:4222"
        assert account.rendered(variables["NATS_URL"]) == address
        assert account.rendered(variables["REDIS_URL"]).startswith("redis://default:")
        assert each["config"]["deploy"]["healthcheckPath"] == "/health/readiness"
        assert each["config"]["deploy"]["preDeployCommand"] == ["python railway_server.py migrate"]
        assert each["up"]
    for each in (web, worker, services["nats"]):
        build, variables = each["config"]["build"], each["variables"]
        assert build["builder"] == "DOCKERFILE"
        assert build["dockerfilePath"] == variables["RAILWAY_DOCKERFILE_PATH"]
    assert len(web["variables"]["RAILWAY_BACKEND_SECRET"]) >= 32
    assert len(services["nats"]["variables"]["NATS_PASSWORD"]) >= 32
    assert web["url"]
    assert services["nats"]["up"]
    assert services["nats"]["volumes"] == ["/data"]


def steps(text: str) -> list[str]:
    """What the plan says is to be done, without its commands."""
    return [line.partition(". ")[2] for line in text.splitlines() if line[:3].strip().isdigit()]


def path_without_railway(folder: Path) -> str:
    """A PATH with what the script needs, and no Railway of this machine."""
    tools = folder / "tools"
    tools.mkdir()
    for name in ("bash", "dirname", "env", "python3"):
        (tools / name).symlink_to(sys.executable if name == "python3" else str(shutil.which(name)))
    return str(tools)


def talk(stand: Stand, dialogue: Sequence[tuple[str, str]], **settings: str) -> tuple[str, int]:
    """What a terminal shows of a run whose questions are answered, and its exit code."""
    master, slave = pty.openpty()
    process = subprocess.Popen(
        [stand.script],
        env={**stand.settings, **settings},
        stdin=slave,
        stdout=slave,
        stderr=slave,
        start_new_session=True,
    )
    os.close(slave)
    shown, left, read = "", list(dialogue), 0
    ends_at = time.monotonic() + LIMIT_S
    while select.select([master], [], [], max(0.0, ends_at - time.monotonic()))[0]:
        try:
            piece = os.read(master, 65_536)
        except OSError:
            # How Linux says that nobody holds the other side any more.
            piece = b""
        if not piece:
            break
        shown += piece.decode()
        if left and left[0][0] in shown[read:] and shown.endswith(("): ", "[y/N] ")):
            read = len(shown)
            os.write(master, f"{left.pop(0)[1]}\n".encode())
    os.close(master)
    assert left == [], shown
    return shown, process.wait(LIMIT_S)
