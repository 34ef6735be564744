"""What can be set from outside, read once at the start from the environment and `.env`.

A wrong value stops the start with one line a mistake: the variable, what it got, what it wants. A secret's
value is never repeated. `Settings` is handed down by the entry point; nothing else reads the environment.
"""

from foundation.settings.forwarding import read_forwarding_keys
from foundation.settings.load import load
from foundation.settings.mistakes import SettingsError
from foundation.settings.settings import Settings
from foundation.settings.variables import CreditsOwner, Environment, Role

__all__ = ["CreditsOwner", "Environment", "Role", "Settings", "SettingsError", "load", "read_forwarding_keys"]
