"""Tests with real libvirtd, real QEMU and a real guest kernel; run them as root with `python3 -m pytest tests/live`."""
