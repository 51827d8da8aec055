"""What was measured, when and on what kind of machine."""

import os
import re
import subprocess
from datetime import UTC, datetime
from pathlib import Path

from .programs import TOP

Stamp = dict[str, str]


def stamp(how: str) -> Stamp:
    """The facts that a reader needs to judge figures. how: the amounts, in a word."""
    return {
        "date": datetime.now(UTC).strftime("%Y-%m-%d"),
        "commit": _commit(),
        "amounts": how,
        "machine": f"{os.cpu_count()} cores ({_processor()}), {_memory_gib()} GiB; guests are emulated (TCG), no KVM",
        "kernel": os.uname().release,
        "libvirt": _first(r"[\d.]+", "libvirtd", "--version"),
        "QEMU": _first(r"[\d.]+", "qemu-system-x86_64", "--version"),
        "rustc": _first(r"[\d.]+", "rustc", "--version"),
        "Python": _first(r"[\d.]+", "/usr/bin/python3", "--version"),
        "bash": _first(r"[\d.]+", "bash", "--version"),
    }


def _say(*argv: str) -> str:
    done = subprocess.run(argv, cwd=TOP, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def _first(pattern: str, *argv: str) -> str:
    found = re.search(pattern, _say(*argv))
    return found[0] if found else "?"


def _commit() -> str:
    commit = _say("git", "rev-parse", "--short=10", "HEAD") or "?"
    return commit + (", with changes that are not committed" if _say("git", "status", "--porcelain", "-uno") else "")


def _processor() -> str:
    found = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text("utf-8"), re.M)
    return found[1] if found else os.uname().machine


def _memory_gib() -> int:
    return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30)
