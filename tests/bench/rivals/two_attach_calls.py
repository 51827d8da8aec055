#!/usr/bin/python3
"""What libvirt's two calls cost alone by which a VM is given a CD-ROM drive while it runs: two_attach_calls.py UUID IMAGE
plugs in a controller and a drive with the image in it, and prints when it began. two_attach_calls.py UUID takes both away
again, and returns when they are gone."""

import sys
import time

import libvirt

CONTROLLER = "<controller type='scsi' index='0' model='virtio-scsi'><alias name='ua-bench-scsi'/></controller>"
DRIVE = ("<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><source file='{}' startupPolicy='optional'/>"
         "<target dev='sda' bus='scsi'/><readonly/><alias name='ua-bench'/>"
         "<address type='drive' controller='0' bus='0' target='0' unit='0'/></disk>")


def unplug(domain: libvirt.virDomain, alias: str) -> None:
    domain.detachDeviceAlias(alias, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    while f"'{alias}'" in domain.XMLDesc():
        time.sleep(0.02)


uuid, *image = sys.argv[1:]
domain = libvirt.open("qemu:///system").lookupByUUIDString(uuid)
if image:
    print(time.time())
    domain.attachDeviceFlags(CONTROLLER, libvirt.VIR_DOMAIN_AFFECT_LIVE)
    domain.attachDeviceFlags(DRIVE.format(*image), libvirt.VIR_DOMAIN_AFFECT_LIVE)
else:
    for plugged in ("ua-bench", "ua-bench-scsi"):
        unplug(domain, plugged)
