"""The programs that are measured, ours as packaging/build makes them and the rivals; and how they are run."""

import os
import resource
import subprocess
from collections.abc import Sequence
from pathlib import Path

from live.site import Programs

TOP = Path(__file__).resolve().parents[2]
RIVALS = Path(__file__).with_name("rivals")
TARGET = TOP / "target" / "bench"
BUILT = TARGET / "rivals"

# The environment that libvirtd gives a hook.
ENVIRONMENT = {"LC_ALL": "C", "PATH": "/usr/sbin:/usr/bin:/sbin:/bin"}

# By a name, what is run.
Commands = dict[str, Sequence[str | Path]]

# What is measured is written here: memory, so that no disk has a part in it.
MEMORY = Path("/dev/shm") if os.access("/dev/shm", os.W_OK) else Path("/tmp")


def ours() -> Programs:
    """Both programs of target/dist, or of $VIRT_RECONTEXT_DIST."""
    dist = Path(os.environ.get("VIRT_RECONTEXT_DIST", TOP / "target" / "dist"))
    return Programs(dist / "virt-recontext-hook", dist / "virt-recontext")


def rival(name: str) -> Path:
    """A rival that is ready to run; C is compiled first."""
    source = RIVALS / name
    if source.suffix != ".c":
        return source
    program = BUILT / source.stem
    BUILT.mkdir(parents=True, exist_ok=True)
    subprocess.run(["gcc", "-std=gnu17", "-O2", "-Wall", "-Wextra", "-Werror", "-static", "-s", "-o", program, source],
                   check=True)
    return program


def spawn(rounds: int, stdin: Path, commands: Commands,
          environment: dict[str, str] | None = None) -> dict[str, list[float]]:
    """Runs commands in turns as libvirtd runs hooks; each one's seconds, round by round. See rivals/spawn.c."""
    argv: list[str] = [str(rival("spawn.c")), str(rounds), str(stdin)]
    for number, command in enumerate(commands.values()):
        argv += [*(["--"] if number else []), *map(str, command)]
    done = subprocess.run(argv, env=ENVIRONMENT | (environment or {}), capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(argv)}: {done.stderr.strip()}")
    rows = [[int(word) / 1e9 for word in line.split()] for line in done.stdout.splitlines()]
    return {name: [row[column] for row in rows] for column, name in enumerate(commands)}


def page_faults(command: Sequence[str | Path], stdin: Path, environment: dict[str, str]) -> int:
    """How many a run has with the children that it waits for. Each is a page of memory that the kernel finds or clears."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt
    with open(stdin, "rb") as text:
        subprocess.run(command, stdin=text, env=ENVIRONMENT | environment, capture_output=True, check=True)
    return resource.getrusage(resource.RUSAGE_CHILDREN).ru_minflt - before
