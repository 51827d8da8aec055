"""Tests with real Xen hosts, real guests on them, and the installed .deb."""
