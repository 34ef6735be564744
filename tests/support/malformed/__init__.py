"""Twelve kinds of malformed input, drawn from a seed; what each is refused with follows from how it is made.

Ten are requests, two are about sockets: the messages here, the frames of `tests.support.abuse`.
"""

from tests.support.malformed.case import Given
from tests.support.malformed.siege import CATEGORIES, Siege

__all__ = ["CATEGORIES", "Given", "Siege"]
