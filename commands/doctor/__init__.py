"""The verb `doctor`: whether a server would run well here, and what to do where it would not."""

from commands.doctor.command import doctor_command

__all__ = ["doctor_command"]
