"""A backend whose chat agents ask a scripted model: what the tests of chat runs share."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from uuid import UUID

from foundation.errors import Json
from tests.support.model import ModelServer, serve_model
from tests.support.server import Document, Person, TestServer, messages, running_server

__all__ = ["KEY", "ChatServer", "ask", "chatting", "usage"]

KEY = "the-model-key-of-these-tests"


@dataclass(frozen=True)
class ChatServer:
    server: TestServer
    model: ModelServer

    async def agent(
        self,
        owner: UUID,
        *,
        tools: Sequence[Json] = (),
        config: Document | None = None,
        price: Document | None = None,
        **row: Json,
    ) -> UUID:
        """A chat agent of `owner`; `row` are more columns of its row."""
        columns = {
            "user_id": owner,
            "name": "Chat",
            "kind": "chat",
            "is_heavy": True,
            "tools": list(tools),
            "config": config or {},
            "price": price or {"flat": 1},
            **row,
        }
        places = ", ".join(f"${number}" for number in range(1, len(columns) + 1))
        made: UUID = await self.server.sql.fetchval(
            f"insert into public.agents ({', '.join(columns)}) values ({places}) returning id",  # noqa: S608
            *columns.values(),
        )
        return made


@asynccontextmanager
async def chatting(database_url: str, **settings: object) -> AsyncIterator[ChatServer]:
    """
    Args:
        settings: variables in lower case, besides those of the model.
    """
    async with serve_model() as model:
        configured = {"openai_api_key": KEY, "openai_base_url": model.url, **settings}
        async with running_server(database_url, **configured) as server:
            yield ChatServer(server, model)


async def ask(person: Person, agent_id: UUID, question: str, **changes: object) -> list[Document]:
    """The messages of a whole run over SSE."""
    turns = [{"role": "user", "content": question}]
    # What `body` would say, unless `changes` do.
    body = person.body() | {"agentId": str(agent_id), "messages": turns, "stream": True} | changes
    answer = await person.client.post("/api/agent/execute", json=body)
    assert answer.status_code == 200, answer.text
    return messages(answer.text)


def usage(input_: int, output: int) -> Document:
    return {"prompt_tokens": input_, "completion_tokens": output, "total_tokens": input_ + output}
