"""Discs made by hand, by somebody else's program."""

import json
import subprocess
import tempfile
from pathlib import Path


def make_disc(image: Path, text: str, *, generation: str = "-", reason: str = "-", host: str = "-") -> None:
    """Writes an ISO image with /endpoint and /recontext.json, as guest.c reads them, always as a new file."""
    about = json.dumps({"generation": generation, "reason": reason, "host": host})
    make_disc_of(image, "RECONTEXT", {"endpoint": f"{text}\n", "recontext.json": about})


def make_disc_of(image: Path, label: str, files: dict[str, str]) -> None:
    """Writes an ISO image with this volume label and these files, always as a new file."""
    image.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        for name, content in files.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_text(content, encoding="utf-8")
        new = image.with_name(f".{image.name}.new")
        subprocess.run(["genisoimage", "-quiet", "-R", "-J", "-V", label, "-o", new, tree], check=True)
        new.replace(image)
