"""What a run costs, decided without I/O; holding and settling happen in SQL with the run itself."""

from heavy_agents.credits.price import Price, cost, parse_price
from heavy_agents.credits.settlement import Blame, charge
from heavy_agents.credits.usage import Usage

__all__ = ["Blame", "Price", "Usage", "charge", "cost", "parse_price"]
