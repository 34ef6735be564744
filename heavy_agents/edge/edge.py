"""All that an edge function does, put together: a look, light answers, and runs that callers pay for."""

from __future__ import annotations

from foundation.db import Database
from foundation.outbound import Outbound
from foundation.settings import CreditsOwner, Settings
from foundation.telemetry import Metrics
from heavy_agents.edge.account import Account
from heavy_agents.edge.answering import Answering
from heavy_agents.edge.answers import LightAnswers
from heavy_agents.edge.calls import Calls
from heavy_agents.edge.charged import Charged
from heavy_agents.edge.look import Looks
from heavy_agents.llm import Model
from heavy_agents.runs import Runs

__all__ = ["Edge"]


class Edge:
    """`light` is a service, and has to be started."""

    def __init__(
        self,
        settings: Settings,
        db: Database,
        *,
        runs: Runs,
        model: Model,
        outbound: Outbound,
        metrics: Metrics,
    ) -> None:
        account = Account(db, metrics=metrics)
        answering = Answering(
            account,
            model,
            Calls(outbound),
            is_charged=settings.credits_owner is not CreditsOwner.OFF,
            default_model=settings.default_model,
            token_limit=settings.run_token_limit,
        )
        self.looks = Looks(db)
        self.light = LightAnswers(answering, metrics=metrics, drain_s=settings.drain_seconds)
        self.charged = Charged(runs, account, credits_owner=settings.credits_owner)
