"""Looking at the database: the configured one, a project, or the embedded one of the data folder.

The embedded one is looked at where it runs. Where it does not, it is started for the look and stopped again;
one that was never made stays unmade. Nothing in either is changed.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlsplit

from commands.doctor.addresses import place_of
from commands.doctor.facts import DatabaseFacts
from foundation.db import (
    TRANSACTION_POOLER_PORT,
    EmbeddedPostgres,
    FolderTaken,
    Unseen,
    embedded_url,
    glance,
    look,
)
from foundation.errors import HeavyError
from foundation.settings import Settings

__all__ = ["probe_database"]

LOOK_WITHIN_S = 8.0


async def probe_database(settings: Settings) -> DatabaseFacts:
    if settings.database_url is not None:
        return await _look(settings.database_url, place=place_of(settings.database_url))
    if (project := settings.data_api) is not None:
        url, key = project
        return await _glance(url, key.get_secret_value())
    return await _embedded(settings.data_dir)


async def _glance(url: str, key: str) -> DatabaseFacts:
    place = f"the Data API of {place_of(url)}"
    try:
        found = await glance(url, key, within_s=LOOK_WITHIN_S)
    except Unseen as error:
        return DatabaseFacts(place, is_project=True, trouble=error.trouble, state=error.state)
    return DatabaseFacts(place, is_project=True, glance=found)


async def _embedded(data_dir: Path) -> DatabaseFacts:
    place = f"the embedded database in {data_dir}"
    if embedded_url(data_dir) is None:
        return DatabaseFacts(place, is_embedded=True)
    postgres = EmbeddedPostgres(data_dir)
    try:
        await postgres.start()
    except FolderTaken as error:
        # Its server may have begun a moment ago; the file is there since its first start.
        return await _look(embedded_url(data_dir) or "", place=place, holder=error.holder)
    except HeavyError as error:
        return DatabaseFacts(place, is_embedded=True, refusal=str(error))
    try:
        return await _look(postgres.url, place=place, is_embedded=True)
    finally:
        await postgres.stop()


async def _look(
    url: str, *, place: str, holder: str | None = None, is_embedded: bool = False
) -> DatabaseFacts:
    try:
        sight = await look(url, within_s=LOOK_WITHIN_S)
    except Unseen as error:
        return DatabaseFacts(place, holder=holder, trouble=error.trouble, state=error.state)
    return DatabaseFacts(
        place,
        is_embedded=is_embedded or holder is not None,
        is_pooled=holder is None and _is_pooled(url),
        holder=holder,
        sight=sight,
    )


def _is_pooled(url: str) -> bool:
    return urlsplit(url).port == TRANSACTION_POOLER_PORT
