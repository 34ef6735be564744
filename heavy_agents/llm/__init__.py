"""The model provider: one turn of a conversation asked, followed, counted, and asked again where it may be.

A turn ends in one of three ways: a `Turn`; `ModelUnavailable`, which is the provider's or the server's fault;
`AgentMistake`, which is the agent's or the conversation's. What promises that a try is neither lost nor paid
twice: `Listener.begin` before it leaves, under an id that the provider logs too, and `Listener.bought` once
for each that gave something.
"""

from heavy_agents.llm.attempt import Listener
from heavy_agents.llm.configured import configured_model
from heavy_agents.llm.errors import AgentMistake
from heavy_agents.llm.estimate import estimate_tokens
from heavy_agents.llm.model import Model
from heavy_agents.llm.patience import Limits
from heavy_agents.llm.prompt import Prompt
from heavy_agents.llm.turn import Tokens, ToolCall, Turn

__all__ = [
    "AgentMistake",
    "Limits",
    "Listener",
    "Model",
    "Prompt",
    "Tokens",
    "ToolCall",
    "Turn",
    "configured_model",
    "estimate_tokens",
]
