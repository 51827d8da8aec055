"""The load tests use the lab and the site of the live tests."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from live.conftest import guest, lab, programs, pytest_runtest_makereport, pytest_sessionstart, site  # noqa: E402, F401
