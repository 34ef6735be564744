"""Whatever an agent may hand over, and how to compare what becomes of it."""

from __future__ import annotations

from hypothesis import strategies as st

from foundation.errors import Json

__all__ = ["ANY_TEXT", "SCALARS", "VALUES", "as_doubles"]

# Every code point there is, lone surrogates and NUL among them.
ANY_TEXT = st.text(st.characters(codec=None, exclude_categories=()))
SCALARS = st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | st.floats() | ANY_TEXT
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner) | st.tuples(inner, inner),
    max_leaves=20,
)


def as_doubles(value: Json) -> Json:
    """As a browser reads it: `jsonb` keeps numbers in decimals and writes 1e20 with all its zeros."""
    match value:
        case int() | float() if not isinstance(value, bool):
            return float(value)
        case list():
            return [as_doubles(each) for each in value]
        case dict():
            return {key: as_doubles(each) for key, each in value.items()}
        case _:
            return value
