"""A server that has nothing but the files its image has."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.database import open_folder
from tests.support.image import Context, stages
from tests.support.process import ROOT, ServerProcess
from tests.support.series import forecast_body


@pytest.fixture
def image_folder() -> Iterator[Path]:
    """What Dockerfile.railway copies out of the build context, where it puts it."""
    folder = open_folder()
    for place, file in Context(ROOT).copied(stages(ROOT / "Dockerfile.railway")[-1]).items():
        target = folder / place.relative_to("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / file, target)
    yield folder
    shutil.rmtree(folder)


async def test_a_server_of_these_files_alone_makes_its_schema_and_forecasts(image_folder: Path) -> None:
    settings = {"DATA_DIR": str(image_folder / "data"), "PYTHONDONTWRITEBYTECODE": "1"}

    async with ServerProcess.of(settings, folder=image_folder / "app") as server:
        answer = await server.client.post("/api/agent/execute", json=forecast_body())

        assert answer.status_code == 200, answer.text
        assert answer.json()["output"]["method"] == "prophet"
        assert await server.terminate(within_s=20) == 0
