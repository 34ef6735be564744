"""The comparison: every subject in turn, round after round, so that the machine's noise meets all."""

from __future__ import annotations

import statistics
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks.report import Figure, print_table, write_json
from benchmarks.script import rules
from benchmarks.subject import Cost, Running, Subject, running
from tests.support.database import DatabaseServer
from tests.support.model import ModelProcess

__all__ = ["Amount", "compare"]

PEERS: Final = Path(__file__).parent / "peers"
SUBJECTS: Final = (
    Subject("Switchyard", "benchmarks.subjects.switchyard", needs_database=True),
    Subject("openai by hand", "benchmarks.subjects.plain_openai"),
    Subject("bytes by hand", "benchmarks.subjects.floor"),
    Subject("Switchyard over HTTP", "benchmarks.subjects.switchyard_http", needs_database=True),
    Subject(
        "openai-agents", "benchmarks.peers.openai_agents", python=PEERS / ".venv-openai-agents/bin/python"
    ),
    Subject("pydantic-ai", "benchmarks.peers.pydantic_ai", python=PEERS / ".venv-pydantic-ai/bin/python"),
)


@dataclass(frozen=True, slots=True)
class Load:
    """`between_s` seconds between two chunks of the model; 0: as fast as it can write.

    A paced run takes seconds, so a round has only `share` of the runs.
    """

    name: str
    concurrency: int
    between_s: float
    share: float = 1.0


@dataclass(frozen=True, slots=True)
class Amount:
    """How much is done: `runs` of a subject in a round, and under load so many of them at once."""

    runs: int
    rounds: int
    at_once: int

    @property
    def loads(self) -> tuple[Load, ...]:
        return (
            Load("one run at a time", 1, 0),
            Load(f"{self.at_once} runs at once", self.at_once, 0),
            Load(f"{self.at_once} runs at once, 50 tokens a second each", self.at_once, 0.02, share=0.25),
        )


async def compare(amount: Amount, *, json_file: Path | None, only: Sequence[str] | None) -> None:
    wanted = [each for each in SUBJECTS if only is None or each.name in only]
    for subject in wanted:
        if not subject.is_installed:
            print(f"left out: {subject.name} is not installed (benchmarks/peers/README.md)")
    async with _started([each for each in wanted if each.is_installed]) as (model, subjects):
        figures: list[Figure] = []
        for load in amount.loads:
            await model.play(*rules(between_s=load.between_s))
            figures += await _rounds(load, subjects, amount)
            print_table(load.name, [each for each in figures if each.load == load.name])
    if json_file is not None:
        versions = {subject.name: subject.versions for subject in subjects}
        write_json(json_file, figures, versions=versions, runs=amount.runs, rounds=amount.rounds)


@asynccontextmanager
async def _started(subjects: Sequence[Subject]) -> AsyncIterator[tuple[ModelProcess, list[Running]]]:
    async with AsyncExitStack() as opened:
        model = await opened.enter_async_context(ModelProcess.running())
        started: list[Running] = []
        database = DatabaseServer()
        opened.push_async_callback(database.stop)
        if any(each.needs_database for each in subjects):
            await database.start()
        for subject in subjects:
            arguments = [await database.create()] if subject.needs_database else []
            started.append(await opened.enter_async_context(running(subject, model.url, *arguments)))
        yield model, started


async def _rounds(load: Load, subjects: Sequence[Running], amount: Amount) -> list[Figure]:
    costs: dict[str, list[Cost]] = {subject.name: [] for subject in subjects}
    runs = max(round(amount.runs * load.share), load.concurrency)
    for number in range(amount.rounds + 1):
        for subject in subjects:
            cost = await subject.batch(runs=runs, concurrency=load.concurrency)
            if number > 0:  # the first one warms up
                costs[subject.name].append(cost)
    return [_figure(load, name, each) for name, each in costs.items()]


def _figure(load: Load, name: str, costs: Sequence[Cost]) -> Figure:
    cpu = [each.cpu_ms for each in costs]
    return Figure(
        load=load.name,
        subject=name,
        cpu_ms=statistics.median(cpu),
        least_ms=min(cpu),
        most_ms=max(cpu),
        wall_ms=statistics.median(each.wall_ms for each in costs),
    )
