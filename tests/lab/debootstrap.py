"""A root directory with a Debian release, made by debootstrap from the mirror that this machine uses."""

from pathlib import Path

from .boot_files import tool
from .waiting import LabError


def debootstrap(release: str, root: Path, *options: str) -> None:
    """Makes it, in namespaces that end with it, however that is: what it mounts and starts is never left behind."""
    try:
        tool("unshare", "--mount", "--pid", "--fork", "--kill-child",
             "debootstrap", "--variant=minbase", *options, release, root, *_mirror(release))
    except LabError as error:
        log = root / "debootstrap" / "debootstrap.log"
        tail = log.read_text(encoding="utf-8", errors="replace")[-2000:] if log.exists() else ""
        raise LabError(f"{error}\n{tail}") from None


def _mirror(release: str) -> list[str]:
    """The mirror from which this machine has the release; none if apt knows none, then debootstrap knows one."""
    found = tool("apt-get", "indextargets", "--format", "$(REPO_URI)", f"Release: {release}", "Created-By: Packages")
    return found.decode().split()[:1]
