"""Discs made by hand, by somebody else's program."""

import json
import subprocess
import tempfile
from pathlib import Path


def make_disc(image: Path, text: str, *, generation: str = "-", reason: str = "-", host: str = "-") -> None:
    """Writes an ISO image with /endpoint and /recontext.json, as guest.c reads them, always as a new file."""
    image.parent.mkdir(mode=0o711, parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as temporary:
        tree = Path(temporary)
        (tree / "endpoint").write_text(f"{text}\n", encoding="utf-8")
        (tree / "recontext.json").write_text(json.dumps({"generation": generation, "reason": reason, "host": host}))
        new = image.with_name(f".{image.name}.new")
        subprocess.run(["genisoimage", "-quiet", "-R", "-J", "-V", "RECONTEXT", "-o", new, tree], check=True)
        new.replace(image)
