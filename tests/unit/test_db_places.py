from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from foundation.db.embedded.binaries import PACKAGE, SHARED_LIBRARIES, Binaries, within_reach
from foundation.db.embedded.unprivileged import can_reach, has_name, make_passable
from foundation.errors import NotConfigured
from tests.support.database import open_folder

NOBODYS_UID = 54_000


def installation(folder: Path) -> Binaries:
    """Files laid out as in the wheel, closed to others."""
    binaries = Binaries(folder / PACKAGE / "pginstall18")
    for name in ("bin/postgres", "lib/vector.so", "lib/libpq.a", "include/pg.h", "share/postgres.bki"):
        file = binaries.home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(name)
        file.chmod(0o700 if name.startswith("bin") else 0o600)
    (folder / SHARED_LIBRARIES).mkdir()
    (folder / SHARED_LIBRARIES / "libpq.so").touch(mode=0o600)
    return binaries


@pytest.fixture
def open_root() -> Iterator[Path]:
    folder = open_folder()
    yield folder
    shutil.rmtree(folder)


def test_a_closed_folder_above_is_out_of_reach(open_root: Path) -> None:
    inner = open_root / "closed" / "inner"
    inner.mkdir(parents=True)
    for each in (inner, inner.parent):
        each.chmod(0o755)  # whatever the umask

    before = can_reach(inner, NOBODYS_UID)
    (open_root / "closed").chmod(0o700)

    assert before
    assert not can_reach(inner, NOBODYS_UID)
    assert can_reach(inner, None)


def test_an_owner_passes_where_others_do_not(open_root: Path) -> None:
    closed = open_root / "closed"
    closed.mkdir(mode=0o700)

    assert can_reach(closed, closed.stat().st_uid)


def test_a_new_folder_is_passable_whatever_the_umask(open_root: Path) -> None:
    before = os.umask(0o077)
    try:
        make_passable(open_root / "made")
    finally:
        os.umask(before)

    assert stat.S_IMODE((open_root / "made").stat().st_mode) == 0o711


def test_a_folder_that_exists_keeps_its_permissions(open_root: Path) -> None:
    closed = open_root / "closed"
    closed.mkdir(mode=0o700)

    make_passable(closed)

    assert stat.S_IMODE(closed.stat().st_mode) == 0o700


def test_programs_behind_a_closed_folder_are_copied_once(tmp_path: Path, open_root: Path) -> None:
    tmp_path.chmod(0o700)
    binaries = installation(tmp_path)

    copy = within_reach(binaries, uid=NOBODYS_UID, root=open_root / "root")
    first_made_ns = copy.program("postgres").stat().st_ctime_ns
    again = within_reach(binaries, uid=NOBODYS_UID, root=open_root / "root")

    assert copy.program("postgres").read_text() == "bin/postgres"
    assert can_reach(copy.program("postgres"), NOBODYS_UID)
    assert (copy.home.parents[1] / SHARED_LIBRARIES / "libpq.so").stat().st_mode & stat.S_IROTH
    assert (copy.home / "share" / "postgres.bki").stat().st_mode & stat.S_IROTH
    assert not (copy.home / "include").exists()
    assert not (copy.home / "lib" / "libpq.a").exists()
    assert again == copy
    assert again.program("postgres").stat().st_ctime_ns == first_made_ns


def test_a_copy_that_others_may_write_to_is_not_run(tmp_path: Path, open_root: Path) -> None:
    tmp_path.chmod(0o700)
    binaries = installation(tmp_path)
    copy = within_reach(binaries, uid=NOBODYS_UID, root=open_root)
    copy.home.parents[1].chmod(0o777)

    with pytest.raises(NotConfigured, match="somebody else may write there"):
        within_reach(binaries, uid=NOBODYS_UID, root=open_root)


def test_no_place_in_reach_is_said(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    binaries = installation(tmp_path)

    with pytest.raises(NotConfigured, match="a folder above it is closed to other users"):
        within_reach(binaries, uid=NOBODYS_UID, root=tmp_path / "root")


def test_programs_in_reach_stay_where_they_are(tmp_path: Path) -> None:
    binaries = installation(tmp_path)

    assert within_reach(binaries, uid=None, root=tmp_path / "root") == binaries
    assert not (tmp_path / "root").exists()


def test_a_uid_nobody_has_is_known_to_have_no_name() -> None:
    assert has_name(os.geteuid())
    assert not has_name(3_999_999_999)
