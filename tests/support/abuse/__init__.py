"""What strangers and members may do to a socket, case by case, and how each must end."""

from tests.support.abuse.case import Case, Manner, Place, Way
from tests.support.abuse.frames import frame_cases
from tests.support.abuse.generated import generated_cases
from tests.support.abuse.messages import message_cases
from tests.support.abuse.openings import opening_cases
from tests.support.abuse.perform import perform

__all__ = [
    "Case",
    "Manner",
    "Place",
    "Way",
    "frame_cases",
    "generated_cases",
    "message_cases",
    "opening_cases",
    "perform",
]
