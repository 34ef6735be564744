"""How many agents a process remembers."""

from __future__ import annotations

from uuid import UUID, uuid4

from heavy_agents.runs.request import AgentSnapshot
from heavy_agents.runs.seen import MOST_BYTES, SeenAgents


def snapshot(agent_id: UUID, name: str) -> AgentSnapshot:
    return AgentSnapshot.from_json({"id": str(agent_id), "name": name, "kind": "chat"})


def test_the_agent_that_was_first_seen_longest_ago_makes_room() -> None:
    seen = SeenAgents(most=2)
    oldest, middle, newest = uuid4(), uuid4(), uuid4()

    for agent_id in (oldest, middle, newest):
        seen.keep(agent_id, snapshot(agent_id, "a"))

    assert seen.get(oldest) is None
    assert [seen.get(each) is not None for each in (middle, newest)] == [True, True]


def test_an_agent_seen_again_is_as_it_was_seen_last() -> None:
    seen, agent_id, other = SeenAgents(most=2), uuid4(), uuid4()
    seen.keep(agent_id, snapshot(agent_id, "before"))
    seen.keep(other, snapshot(other, "other"))

    seen.keep(agent_id, snapshot(agent_id, "after"))

    remembered = seen.get(agent_id)
    assert remembered is not None
    assert remembered.name == "after"
    assert seen.get(other) is not None


def test_an_agent_with_a_large_row_is_not_kept_nor_is_what_it_was_before() -> None:
    seen, agent_id = SeenAgents(), uuid4()
    seen.keep(agent_id, snapshot(agent_id, "a"))

    large = {"id": str(agent_id), "name": "a", "kind": "chat", "system_prompt": "x" * MOST_BYTES}
    seen.keep(agent_id, AgentSnapshot.from_json(large))

    assert seen.get(agent_id) is None


def test_a_forgotten_agent_is_not_known() -> None:
    seen, agent_id = SeenAgents(), uuid4()
    seen.keep(agent_id, snapshot(agent_id, "a"))

    seen.forget(agent_id)

    assert seen.get(agent_id) is None
