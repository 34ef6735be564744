"""What is counted of calls: how they ended, their tokens, how long the first one took."""

from __future__ import annotations

from foundation.telemetry import Metrics
from heavy_agents.llm.turn import Tokens

__all__ = ["Tally"]

# Model names come from users' rows, and each label is a series kept for ever.
MAX_MODELS = 50
MAX_NAME = 100
OTHER = "other"
# As `Attempt` and `Setback` name them.
OUTCOMES = ("complete", "cancelled", "abandoned", "cut", "unavailable", "refused")


class Tally:
    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._models: set[str] = set()
        for outcome in OUTCOMES:
            metrics.model_calls_total.labels(outcome=outcome)

    def first_token(self, after_s: float) -> None:
        self._metrics.model_first_token_seconds.observe(after_s)

    def bought(self, model: str, tokens: Tokens) -> None:
        name = self._label(model)
        self._metrics.model_tokens_total.labels(model=name, kind="input").inc(tokens.input)
        self._metrics.model_tokens_total.labels(model=name, kind="output").inc(tokens.output)

    def ended(self, outcome: str) -> None:
        self._metrics.model_calls_total.labels(outcome=outcome).inc()

    def lost(self) -> None:
        """A call that was bought and gave nothing, by no wish of the user."""
        self._metrics.lost_calls_total.inc()

    def _label(self, model: str) -> str:
        """Only models that were answered get here, so that a misspelt name takes no place."""
        if model not in self._models and len(self._models) < MAX_MODELS and len(model) <= MAX_NAME:
            self._models.add(model)
        return model if model in self._models else OTHER
