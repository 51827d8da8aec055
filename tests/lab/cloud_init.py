"""cloud-init's own code, as it looks for its data in the drives of a guest.

    /usr/bin/python3 cloud_init.py SOURCE IMAGE…

where SOURCE is ConfigDrive, OpenNebula or NoCloud and the images are the discs in sr0, sr1 and so on. It prints what cloud-init
finds, as JSON: {"drive": …, "id": …, "metadata": …, "user-data": …}, or null. Only two things are not cloud-init's: a
drive is asked what is on it, and is mounted, by way of its image, so that this needs no devices of the machine's.
"""

import importlib
import json
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

CODE = Path(__file__).resolve().parents[2] / "target/cache/cloud-init/usr/lib/python3/dist-packages"


def what_cloud_init_finds(source: str, *images: Path) -> dict[str, Any] | None:
    """What the guest's cloud-init makes of the discs in its drives. In a process of its own: cloud-init is no library."""
    done = subprocess.run(["/usr/bin/python3", "-B", __file__, source, *map(str, images)], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise AssertionError(f"cloud-init cannot look at the drives: {done.stderr}")
    return json.loads(done.stdout)


def tags(image: str) -> set[str]:
    """What blkid says of an image, such as LABEL=config-2."""
    done = subprocess.run(["blkid", "-p", "-o", "export", image], capture_output=True, text=True, check=False)
    return set(done.stdout.splitlines())


def main(source: str, *images: str) -> None:
    sys.path.insert(0, str(CODE))
    from cloudinit import helpers, util
    from cloudinit.distros import debian

    drives = {f"/dev/sr{number}": image for number, image in enumerate(images)}

    def find_devs_with(criteria: str | None = None, *_: Any, path: str | None = None, **__: Any) -> list[str]:
        return [drive for drive, image in drives.items() if path in (None, drive) and criteria in {None, *tags(image)}]

    def mount_cb(device: str, callback: Any, *_: Any, **__: Any) -> Any:
        with tempfile.TemporaryDirectory() as directory:
            subprocess.run(["xorriso", "-osirrox", "on", "-indev", drives[device], "-extract", "/", directory],
                           check=True, capture_output=True)
            return callback(directory)

    util.find_devs_with, util.mount_cb = find_devs_with, mount_cb
    module = importlib.import_module(f"cloudinit.sources.DataSource{source}")
    # What a first boot does to the guest is not to be done to this machine.
    module.on_first_boot = lambda *_, **__: None
    with tempfile.TemporaryDirectory() as state:
        settings = {"datasource": {source: {"parseuser": None}}}
        paths = helpers.Paths({"cloud_dir": state, "run_dir": state})
        reader = getattr(module, f"DataSource{source}")(settings, debian.Distro("debian", {}, paths), paths)
        found = reader._get_data() and {
            "drive": getattr(reader, "seed" if source == "OpenNebula" else "source", None),
            "id": reader.get_instance_id(),
            "metadata": reader.metadata,
            "user-data": str(reader.userdata_raw),
        }
    print(json.dumps(found or None, default=repr))


if __name__ == "__main__":
    main(*sys.argv[1:])
