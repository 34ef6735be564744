"""What stands in for a base image where no registry can be reached: a Debian made with debootstrap.

The differences: Python and pip are Debian's, under /usr, instead of the newest 3.11 under /usr/local. Its
bytecode is taken away, as the real image has none either. For the image of NATS, of which only the program is
taken, the program of the tests stands in.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.support.image.root import Root
from tests.support.nats import nats_program

__all__ = ["BASE_ENVIRONMENT", "base_root"]

SUITE = "bookworm"
KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
# What the real ones have that matters to the steps on them.
PACKAGES = {
    "python:3.11-slim-bookworm": ("ca-certificates", "python3.11", "python3-pip"),
    "debian:bookworm-slim": (),
}
BASE_ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/local/sbin:/usr/sbin:/usr/bin:/sbin:/bin",
    "LANG": "C.UTF-8",
    "HOME": "/root",
    "DEBIAN_FRONTEND": "noninteractive",
}
# The slim images keep no archives of packages, and neither pages nor translations of theirs.
SLIM = r"""
echo 'DPkg::Post-Invoke { "rm -f /var/cache/apt/archives/*.deb"; };' >/etc/apt/apt.conf.d/docker-clean
printf 'path-exclude=/usr/share/%s/*\n' doc info locale man >/etc/dpkg/dpkg.cfg.d/docker
rm -rf /var/cache/apt/archives/*.deb /var/lib/apt/lists/*
rm -rf /usr/share/doc/* /usr/share/info/* /usr/share/locale/* /usr/share/man/*
"""
PYTHON_WHERE_IT_IS = """
ln -s /usr/bin/python3.11 /usr/local/bin/python
ln -s /usr/bin/python3.11 /usr/local/bin/python3
find /usr/lib/python3* -name __pycache__ -prune -exec rm -r {} +
"""


def base_root(image: str, *, workshop: Path) -> Root:
    """The stand-in for `image`, made once and kept in `workshop`."""
    if image.startswith("nats:"):
        return _program_alone(nats_program(), workshop / image.replace(":", "-"))
    assert image in PACKAGES, f"nothing stands in for {image} yet"
    root = Root(workshop / image.replace(":", "-"))
    if not root.path.exists():
        unfinished = Root(workshop / f"{root.path.name}.unfinished")
        shutil.rmtree(unfinished.path, ignore_errors=True)
        _bootstrap(unfinished, workshop)
        _furnish(unfinished, PACKAGES[image])
        unfinished.path.rename(root.path)
    return root


def _program_alone(program: Path, folder: Path) -> Root:
    place = folder / "usr" / "local" / "bin"
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy2(program, place)
    return Root(folder)


def _bootstrap(root: Root, workshop: Path) -> None:
    folder = _debootstrap(workshop)
    environment = {**os.environ, "DEBOOTSTRAP_DIR": str(folder / "share/debootstrap")}
    command = [str(folder / "sbin/debootstrap"), "--variant=minbase", f"--keyring={KEYRING}", SUITE]
    subprocess.run([*command, str(root.path)], check=True, env=environment, stdout=subprocess.DEVNULL)


def _debootstrap(workshop: Path) -> Path:
    """The `usr` it is in: the machine's, or one that is unpacked beside the roots and not installed."""
    if shutil.which("debootstrap"):
        return Path("/usr")
    home = workshop / "debootstrap"
    if not home.exists():
        with tempfile.TemporaryDirectory() as folder:
            Path(folder).chmod(0o777)  # apt downloads as a user of its own
            subprocess.run(["apt-get", "download", "--quiet=2", "debootstrap"], check=True, cwd=folder)
            (package,) = Path(folder).glob("debootstrap_*.deb")
            subprocess.run(["dpkg", "--extract", str(package), str(home)], check=True)
    return home / "usr"


def _furnish(root: Root, packages: tuple[str, ...]) -> None:
    install = f"apt-get update -qq && apt-get install -qq --yes --no-install-recommends {' '.join(packages)}"
    steps = [install, PYTHON_WHERE_IT_IS] if packages else []
    for step in (SLIM, *steps, "rm -rf /var/lib/apt/lists/*"):
        root.run("/bin/sh", "-ec", step, environment=BASE_ENVIRONMENT)
