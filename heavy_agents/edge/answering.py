"""One light answer from its hold to its settlement, and what ends it early.

What is refused is refused before anything is held, and the hold comes before anything is called or asked: a
key that was used calls nothing. What the model has said in full is charged. If it fails, that is released,
and the key may try again: under `light:<key>` first, then `light:<n>:<key>`, for what was released is never
charged.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final
from uuid import UUID

import structlog

from foundation.errors import (
    DatabaseUnavailable,
    Draining,
    FieldError,
    HeavyError,
    InternalError,
    InvalidBody,
    KeyConflict,
    ModelUnavailable,
    NotConfigured,
)
from foundation.ids import new_token
from heavy_agents.agents import Plan, read_plan
from heavy_agents.credits import Blame, Usage, charge
from heavy_agents.edge.account import MAX_HOLDS, USED_UP, Account
from heavy_agents.edge.answer import LightAnswer
from heavy_agents.edge.calls import Calls
from heavy_agents.edge.functions import Fired, fire
from heavy_agents.edge.look import RoutedAgent
from heavy_agents.edge.prompting import prompt_of
from heavy_agents.llm import AgentMistake, Model, Prompt, Tokens, Turn
from heavy_agents.runs import Message

__all__ = ["Answering", "Question", "Work"]

log = structlog.get_logger(__name__)

KIND: Final = "chat"
# From the hold to the end: well below the age at which a hold counts as forgotten.
LIMIT_S: Final = 300.0
REPLY_CREDITS: Final = 1
ANSWERED: Final = "this request was answered before; its answer is not kept, use a new Idempotency-Key"
ANSWERING: Final = "this request is being answered; send it again in a while, or use a new Idempotency-Key"


@dataclass(frozen=True, slots=True)
class Question:
    """`key`: the client's own, None if it has sent none."""

    user_id: UUID
    agent: RoutedAgent
    messages: tuple[Message, ...]
    key: str | None

    @property
    def newest(self) -> str:
        """The last message of the user."""
        return next((each.content for each in reversed(self.messages) if each.role == "user"), "")


@dataclass(frozen=True, slots=True)
class Work:
    question: Question
    plan: Plan
    fired: Fired
    hold_key: str | None  # None: nothing is held


@dataclass(frozen=True, slots=True)
class _Spoken:
    """`due`: whole credits."""

    text: str
    used: Usage
    due: int


class Answering:
    def __init__(
        self,
        account: Account,
        model: Model,
        calls: Calls,
        *,
        is_charged: bool,
        default_model: str,
        token_limit: int,
    ) -> None:
        """
        Args:
            is_charged: False where nobody pays for anything.
            token_limit: the operator's, for any one answer.
        """
        self._account = account
        self._model = model
        self._calls = calls
        self._is_charged = is_charged
        self._default_model = default_model
        self._token_limit = token_limit

    async def prepare(self, question: Question) -> Work:
        """Refuse what can be refused, then hold.

        Raises:
            NotConfigured: no chat agent, its row is wrong, or there is no model.
            InvalidBody: nothing is asked.
            InsufficientCredits, KeyConflict, DatabaseUnavailable: see `Account.hold`; a key answers once.
        """
        snapshot = question.agent.snapshot
        if snapshot.kind != KIND:
            raise NotConfigured(
                f"an agent of kind {snapshot.kind!r} needs a run; its owner must set is_heavy"
            )
        plan = await asyncio.to_thread(read_plan, snapshot, default_model=self._default_model)
        if not question.newest.strip():
            raise InvalidBody([FieldError("messages", "wants at least one of role user with a text")])
        functions = question.agent.functions
        fired = await asyncio.to_thread(fire, functions, question.newest) if functions else Fired()
        if fired.reply is None:
            self._model.require()
            await asyncio.to_thread(self._prompt, question, plan, notes=())
        held = REPLY_CREDITS if fired.reply is not None else snapshot.price.ceiling
        return Work(question, plan, fired, await self._held(question, amount=held))

    async def _held(self, question: Question, *, amount: int) -> str | None:
        """What nobody has held before: of those with one key at once, one gets it."""
        if not self._is_charged or amount < 1:
            return None
        key = question.key or new_token()
        for number in range(1, MAX_HOLDS + 1):
            name = f"light:{key}" if number == 1 else f"light:{number}:{key}"
            held = await self._account.hold(question.user_id, key=name, amount=amount)
            if held.is_new:
                return name
            if held.charged != 0:
                raise KeyConflict(ANSWERING if held.charged is None else ANSWERED)
        raise KeyConflict(USED_UP)

    async def answer(self, work: Work, answer: LightAnswer) -> None:
        """Always ends `answer`, and its hold unless the database is away."""
        error: HeavyError | None = None
        spoken: _Spoken | None = None
        try:
            async with asyncio.timeout(LIMIT_S):
                spoken = await self._respond(work, answer)
            charged = await self._settled(work, spoken)
            answer.succeed(spoken.text, charged=charged, usage=spoken.used)
        except HeavyError as refused:
            error = refused
        except TimeoutError:
            error = ModelUnavailable("the answer took longer than it may; try again later")
        except asyncio.CancelledError:
            error = Draining("this server is restarting; send the request again")
            raise
        except Exception:
            log.exception("light_answer_broke")
            error = InternalError("something went wrong on our side")
        finally:
            if error is not None:
                await self._end(work, answer, error=error, spoken=spoken)

    async def _end(
        self, work: Work, answer: LightAnswer, *, error: HeavyError, spoken: _Spoken | None
    ) -> None:
        """Release, and say why; but what was charged after all, though nobody heard of it, is an answer."""
        charged = await self._released(work)
        if charged and spoken is not None:
            answer.succeed(spoken.text, charged=charged, usage=spoken.used)
        else:
            log.warning("light_answer_failed", code=error.code)
            answer.fail(error)

    async def _respond(self, work: Work, answer: LightAnswer) -> _Spoken:
        question, plan = work.question, work.plan
        notes = await self._calls.notes(
            work.fired.called, agent_id=question.agent.id, message=question.newest
        )
        if (reply := work.fired.reply) is not None:
            answer.say(reply)
            return _Spoken(reply, Usage(), REPLY_CREDITS)
        prompt = await asyncio.to_thread(self._prompt, question, plan, notes=notes)
        listener = _Listener(answer)
        try:
            turn = await self._model.ask(prompt, listener)
        except AgentMistake as mistake:
            raise ModelUnavailable(mistake.message) from None
        text, price = _text(turn, answer), question.agent.snapshot.price
        due = charge(Blame.NOBODY, price, listener.used, elapsed_ms=answer.elapsed_ms)
        return _Spoken(text, listener.used, due)

    def _prompt(self, question: Question, plan: Plan, *, notes: Sequence[str]) -> Prompt:
        """Off the loop: a conversation may be two million characters."""
        return prompt_of(
            plan,
            question.messages,
            notes=notes,
            price=question.agent.snapshot.price if self._is_charged else None,
            limit_tokens=self._token_limit,
        )

    async def _settled(self, work: Work, spoken: _Spoken) -> int:
        if work.hold_key is None:
            return 0
        question = work.question
        return await self._account.settle_answer(
            question.user_id,
            key=work.hold_key,
            amount=spoken.due,
            agent_id=question.agent.id,
            usage=spoken.used.to_json(),
        )

    async def _released(self, work: Work) -> int:
        """What was charged before it could be released: when the answer to its settlement was lost."""
        if work.hold_key is None:
            return 0
        try:
            return await self._account.release(work.question.user_id, key=work.hold_key)
        except DatabaseUnavailable:
            log.warning("hold_left_open")
            return 0


class _Listener:
    """`heavy_agents.llm.Listener` of one light answer."""

    def __init__(self, answer: LightAnswer) -> None:
        self._answer = answer
        self.used = Usage()

    async def begin(self, call_id: str) -> None:
        """Nothing is journaled: a call that a crash cuts off is the platform's."""

    async def text(self, content: str) -> None:
        self._answer.say(content)

    def bought(self, tokens: Tokens) -> None:
        self.used += Usage(model_calls=1, input_tokens=tokens.input, output_tokens=tokens.output)


def _text(turn: Turn, answer: LightAnswer) -> str:
    """What the model said, or says instead."""
    if turn.text:
        return turn.text
    if turn.refusal:
        answer.say(turn.refusal)
        return turn.refusal
    if turn.finish == "content_filter":
        raise ModelUnavailable("the model's content filter stopped the answer")
    raise ModelUnavailable("the model gave an empty answer; try again later")
