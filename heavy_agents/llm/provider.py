"""How the provider is spoken to: the openai client for connections, credentials, statuses and their retries.

It is given a body that is ready and asked for the plain answer, because its own reading of parameters and
chunks costs more than the rest of a call. Loaded by the first call or beside the loop; never at the start.
"""

from __future__ import annotations

from dataclasses import dataclass
from http import HTTPStatus
from http.cookiejar import CookieJar, DefaultCookiePolicy
from typing import Final, cast

import httpx2
import openai
import structlog

from foundation.errors import HeavyError
from foundation.outbound import Outbound
from heavy_agents.llm.budget import RetryBudget
from heavy_agents.llm.feed import CUT, Feed
from heavy_agents.llm.patience import Limits
from heavy_agents.llm.verdict import Refusal, Setback, is_out_of_money, judge, read_refusal, unavailable

__all__ = ["Answered", "Provider", "open_provider"]

log = structlog.get_logger(__name__)

OPENAI_URL: Final = "https://api.openai.com/v1"
CALL_ID: Final = "X-Client-Request-Id"
RETRY_COUNT: Final = "x-stainless-retry-count"
MAX_CONNECTIONS: Final = 1_000
UNREACHABLE: Final = "the model provider cannot be reached; try again later"
FAILING: Final = "the model provider failed; try again later"


@dataclass(frozen=True, slots=True)
class Answered:
    """A 200 whose body is still to be read; `retries` the client has made before it."""

    feed: Feed
    retries: int


class _NoMoreRetries(openai.OpenAIError):
    """The budget is empty. The client lets its own errors pass."""


async def open_provider(
    base_url: str | None, api_key: str, *, outbound: Outbound, budget: RetryBudget, limits: Limits
) -> Provider:
    session = await outbound.session(allow_private=True, max_connections=MAX_CONNECTIONS)
    timeout = httpx2.Timeout(limits.silence_s, connect=limits.connect_s, pool=limits.first_token_s)
    client = openai.AsyncOpenAI(
        api_key=api_key, base_url=base_url or OPENAI_URL, http_client=session, timeout=timeout
    )
    return Provider(client, session, budget)


class Provider:
    def __init__(self, client: openai.AsyncOpenAI, session: httpx2.AsyncClient, budget: RetryBudget) -> None:
        self._client = client
        self._session = session
        self._budget = budget
        session.event_hooks = {"request": [self._pay_for_retry], "response": [self._look_at_limits]}
        # The session lives as long as the process, and a server may set a new cookie with every answer.
        session.cookies = CookieJar(DefaultCookiePolicy(allowed_domains=()))

    async def close(self) -> None:
        await self._session.aclose()

    async def post(self, content: bytes, *, model: str, call_id: str, max_retries: int) -> Answered | Setback:
        """Ask until there is a 200, at most `max_retries` times more than once.

        Statuses and failed connections come back as a `Setback`: it holds nothing of what the provider said.
        """
        try:
            response = await self._client.post(
                "/chat/completions",
                cast_to=httpx2.Response,
                content=content,
                options={"headers": {CALL_ID: call_id}, "max_retries": max_retries},
                stream=True,
                stream_cls=openai.AsyncStream[object],
            )
        except openai.APIStatusError as error:
            refusal = read_refusal(error.status_code, error.body)
            return judge(refusal, model=model, retries=_retries(error.request))
        except openai.APITimeoutError as error:
            sentence = "the model provider did not answer in time; try again later"
            return unavailable(sentence, why="timeout", retries=_retries(error.request))
        except openai.APIConnectionError as error:
            return unavailable(UNREACHABLE, why="connection", retries=_retries(error.request))
        except _NoMoreRetries:
            return unavailable(FAILING, why="no_retries_left", retries=max_retries)
        except CUT:
            # While reading why it was refused, which the client does without a net.
            return unavailable(UNREACHABLE, why="connection", retries=max_retries)
        except HeavyError as error:
            # The guard: the configured address leads where nothing may be asked.
            return unavailable(UNREACHABLE, why=error.code)
        except RuntimeError:
            if not self._session.is_closed:
                raise
            return unavailable("the server is stopping", why="stopping")
        # The client's types know parsed streams only; asked for the plain answer, it gives that.
        plain = cast("httpx2.Response", response)
        return Answered(Feed(plain), _retries(plain.request))

    async def _pay_for_retry(self, request: httpx2.Request) -> None:
        if _retries(request) > 0 and not self._budget.take():
            raise _NoMoreRetries

    async def _look_at_limits(self, response: httpx2.Response) -> None:
        """A used-up account has the status of too many calls, but waiting does not fill it."""
        if response.status_code == HTTPStatus.TOO_MANY_REQUESTS and is_out_of_money(await _refusal(response)):
            response.headers["x-should-retry"] = "false"


async def _refusal(response: httpx2.Response) -> Refusal:
    await response.aread()
    try:
        return read_refusal(response.status_code, response.json())
    except ValueError:
        return Refusal(response.status_code)


def _retries(request: httpx2.Request) -> int:
    return int(request.headers.get(RETRY_COUNT, "0"))
