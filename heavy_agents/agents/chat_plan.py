"""What a chat agent's row asks for: the model and its limits, and what the answer must look like."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from foundation.errors import Json, NotConfigured
from heavy_agents.runs import AgentSnapshot
from heavy_agents.tools import SchemaCheck

__all__ = ["Plan", "read_plan"]

MAX_TURNS: Final = 100
MAX_TOKENS: Final = 10_000_000
MAX_TEMPERATURE: Final = 2
MOST_BUDGET: Final = 1_000_000_000
KNOWN: Final = frozenset({"deadline_s", "max_turns", "context_tokens", "token_budget", "output_schema"})


@dataclass(frozen=True, slots=True)
class Knowledge:
    title: str | None
    content: str


@dataclass(frozen=True, slots=True)
class Plan:
    """
    Attributes:
        max_tokens: of one turn; None leaves it to the provider.
        max_turns: model calls of one run; the last one gets no tools, so that it answers.
        context_tokens: what one call may take in, by the estimate of `llm`, its answer included.
        token_budget: of the whole run, in and out; None for no limit beside the credits and the operator's.
        output_schema: what the answer's JSON must be; None for text.
    """

    model: str
    system_prompt: str
    knowledge: tuple[Knowledge, ...]
    temperature: float | None
    max_tokens: int | None
    max_turns: int
    context_tokens: int
    token_budget: int | None
    output_schema: dict[str, Json] | None

    @property
    def room_tokens(self) -> int:
        """What of `context_tokens` is left for the question, with room for an answer."""
        return self.context_tokens - min(self.max_tokens or 0, self.context_tokens // 2)

    @property
    def response_format(self) -> dict[str, Json] | None:
        if self.output_schema is None:
            return None
        return {"type": "json_schema", "json_schema": {"name": "answer", "schema": self.output_schema}}


def read_plan(agent: AgentSnapshot, *, default_model: str) -> Plan:
    """The plan of an agent's row.

    Raises:
        NotConfigured: names what in the row is wrong and what it wants.
    """
    row, config = agent.stored, agent.config
    if unknown := sorted(config.keys() - KNOWN):
        raise NotConfigured(f"the agent's config has an unknown part {unknown[0][:40]!r}; {_known()}")
    return Plan(
        model=_text(row, "ai_model") or default_model,
        system_prompt=_text(row, "system_prompt"),
        knowledge=_knowledge(row.get("knowledge_base")),
        temperature=_temperature(row.get("temperature")),
        max_tokens=_count(row, "max_tokens", default=None, most=MAX_TOKENS),
        max_turns=_count(config, "max_turns", default=16, most=MAX_TURNS) or 16,
        context_tokens=_count(config, "context_tokens", default=100_000, most=MAX_TOKENS) or 100_000,
        token_budget=_count(config, "token_budget", default=None, most=MOST_BUDGET),
        output_schema=_schema(config.get("output_schema")),
    )


def _known() -> str:
    return f"a chat agent's has {', '.join(sorted(KNOWN))}"


def _text(row: Mapping[str, Json], name: str) -> str:
    value = row.get(name)
    return value.strip() if isinstance(value, str) else ""


def _knowledge(value: Json) -> tuple[Knowledge, ...]:
    """Entries without content are left out."""
    if value is None:
        return ()
    if not isinstance(value, list):
        raise NotConfigured("the agent's knowledge_base wants a list of {title?, content}")
    return tuple(
        Knowledge(title if isinstance(title := entry.get("title"), str) else None, content)
        for entry in value
        if isinstance(entry, dict) and isinstance(content := entry.get("content"), str) and content.strip()
    )


def _temperature(value: Json) -> float | None:
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_TEMPERATURE:
        raise NotConfigured(
            f"the agent's temperature is {value!r}, wants a number from 0 to {MAX_TEMPERATURE}"
        )
    return float(value)


def _count(row: Mapping[str, Json], name: str, *, default: int | None, most: int) -> int | None:
    value = row.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise NotConfigured(f"the agent's {name} is {value!r}, wants a whole number from 1 to {most}")
    return value


def _schema(value: Json) -> dict[str, Json] | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise NotConfigured("the agent's output_schema wants a JSON Schema object")
    try:
        SchemaCheck(value)
    except ValueError as error:
        raise NotConfigured(f"the agent's output_schema cannot be used: {error}") from None
    return value
