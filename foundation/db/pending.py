"""Which migrations a database still needs.

Versions in the record that we have no file for are none of our business: the app has migrations of its
own in the same record, and a newer release may have been here. A file older than one of ours that was
applied is refused, because it would meet a schema it was not written for.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from foundation.errors import StartRefused

__all__ = ["Migration", "MigrationError", "in_folder", "pending"]

_FILE_NAME = re.compile(r"(?P<version>[0-9]+)_(?P<name>.*)\.sql")


class MigrationError(StartRefused):
    """The schema cannot be brought up to date; the text says which file, which line and why."""


@dataclass(frozen=True, slots=True)
class Migration:
    version: str
    name: str
    file: Path


def in_folder(folder: Path) -> list[Migration]:
    """The files of `folder`, in no order.

    Raises:
        MigrationError: there is no such folder, one is misnamed, or two have the same version.
    """
    if not folder.is_dir():
        raise MigrationError(f"there is no folder {folder}")
    found: dict[str, Migration] = {}
    for file in sorted(folder.glob("*.sql")):
        if (match := _FILE_NAME.fullmatch(file.name)) is None:
            raise MigrationError(f"{file.name} is not named <version>_<name>.sql")
        migration = Migration(match["version"], match["name"], file)
        if (twin := found.setdefault(migration.version, migration)) is not migration:
            raise MigrationError(f"{file.name} and {twin.file.name} have the same version")
    return list(found.values())


def pending(known: Iterable[Migration], applied: Mapping[str, str]) -> list[Migration]:
    """What of `known` is not in `applied` (version → name, or an empty name), in order.

    Raises:
        MigrationError: one comes before another that was applied, or is recorded under another name.
    """
    ordered = sorted(known, key=_order)
    missing = [each for each in ordered if each.version not in applied]
    done = [each for each in ordered if each.version in applied]
    for each in done:
        if applied[each.version] not in {"", each.name}:
            raise MigrationError(
                f"version {each.version} is recorded as {applied[each.version]!r}, but {each.file.name} is"
                " another; give it another version"
            )
    if missing and done and _order(missing[0]) < _order(done[-1]):
        raise MigrationError(
            f"{missing[0].file.name} was not applied, but the later {done[-1].file.name} was;"
            " give it a version after that one"
        )
    return missing


def _order(migration: Migration) -> tuple[int, str]:
    return int(migration.version), migration.version
