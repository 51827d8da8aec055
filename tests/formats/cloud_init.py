"""Lets cloud-init's own code read what was on discs.

Each line of the input is a format and a directory with a disc's files. Each line of the output is what cloud-init
makes of them, as JSON: {"id": …, "metadata": …, "user-data": hex, "vendor-data": hex, "network": …},
or {"error": …}.
"""

import json
import os
import sys
import tempfile

CODE = os.path.join(os.path.dirname(__file__), "../../target/cache/cloud-init/usr/lib/python3/dist-packages")
sys.path.insert(0, CODE)

try:
    import configobj, jinja2, jsonpatch, jsonschema, requests, yaml  # noqa: E401, F401
    from cloudinit import helpers
    from cloudinit.sources import DataSourceConfigDrive, DataSourceNoCloud, DataSourceOpenNebula
except ModuleNotFoundError as error:
    sys.exit(
        "tests/packages unpacks the Debian package cloud-init, which is missing"
        if error.name.startswith("cloudinit")
        else f"apt-get install python3-{error.name}"
    )


def nocloud(directory):
    with tempfile.TemporaryDirectory() as state:
        paths = helpers.Paths({"cloud_dir": state, "run_dir": state})
        # No label: it shall not search the drives of this machine.
        settings = {"datasource": {"NoCloud": {"fs_label": None}}}
        source = DataSourceNoCloud.DataSourceNoCloud(settings, None, paths)
        source.seed_dirs = [directory]
        assert source._get_data(), "cloud-init takes this for no NoCloud seed"
        return {
            "id": source.get_instance_id(),
            "metadata": source.metadata,
            "user-data": as_bytes(source.userdata_raw).hex(),
            "vendor-data": as_bytes(source.vendordata_raw).hex(),
            "network": source.network_config,
        }


def configdrive(directory):
    found = DataSourceConfigDrive.read_config_drive(directory)
    assert found["version"] == 2
    return {
        "id": found["metadata"]["instance-id"],
        "metadata": found["metadata"],
        "user-data": as_bytes(found["userdata"]).hex(),
        "vendor-data": as_bytes(json.dumps(found.get("vendordata"))).hex(),
        "network": found.get("networkdata"),
    }


def opennebula(directory):
    found = DataSourceOpenNebula.read_context_disk_dir(directory, None)
    return {
        "id": None,
        "metadata": found["metadata"],
        "user-data": as_bytes(found["userdata"] or b"").hex(),
        "vendor-data": "",
        "network": found.get("network-interfaces"),
    }


def as_bytes(content):
    return content.encode() if isinstance(content, str) else content


def main():
    readers = {reader.__name__: reader for reader in (nocloud, configdrive, opennebula)}
    for line in sys.stdin:
        reader, directory = line.rstrip("\n").split(" ", 1)
        try:
            found = readers[reader](directory)
        except Exception as error:
            found = {"error": f"{type(error).__name__}: {error}"}
        # What YAML has and JSON has not, a date for one, is shown as Python writes it: it is wrong in any case.
        print(json.dumps(found, default=repr), flush=True)


main()
