"""The model provider as the operator's settings name it."""

from __future__ import annotations

from foundation.outbound import Outbound
from foundation.settings import Settings
from foundation.telemetry import Metrics, Tracer
from heavy_agents.llm.model import Model
from heavy_agents.llm.patience import Limits

__all__ = ["configured_model"]


def configured_model(settings: Settings, outbound: Outbound, *, metrics: Metrics, tracer: Tracer) -> Model:
    base_url, api_key = settings.model_endpoint
    limits = Limits(
        first_token_s=settings.model_first_token_seconds,
        silence_s=settings.model_silence_seconds,
        turn_s=settings.model_turn_seconds,
    )
    return Model(
        base_url=base_url,
        api_key=api_key.get_secret_value() if api_key is not None else None,
        outbound=outbound,
        metrics=metrics,
        limits=limits,
        tracer=tracer,
    )
