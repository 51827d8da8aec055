#!/usr/bin/python3
"""What libvirt's two calls for a media change cost alone: two_calls.py UUID TARGET BUS IMAGE prints the seconds of the
ejection and of the insertion of the same image."""

import sys
import time

import libvirt

uuid, target, bus, image = sys.argv[1:]
EMPTY = (f"<disk type='file' device='cdrom'><driver name='qemu' type='raw'/><target dev='{target}' bus='{bus}'/>"
         "<readonly/></disk>")
FULL = EMPTY.replace("<target", f"<source file='{image}' startupPolicy='optional'/><target")

domain = libvirt.open("qemu:///system").lookupByUUIDString(uuid)
begin = time.monotonic()
domain.updateDeviceFlags(EMPTY, libvirt.VIR_DOMAIN_AFFECT_LIVE)
middle = time.monotonic()
domain.updateDeviceFlags(FULL, libvirt.VIR_DOMAIN_AFFECT_LIVE)
print(middle - begin, time.monotonic() - middle)
