"""What tests of several packages share."""

from __future__ import annotations

import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

MEMORY = 3 * 2**30  # bytes


@pytest.fixture(scope="module")
def bounded_memory() -> Iterator[None]:
    """What takes gigabytes fails with MemoryError, and so with its program, before the system kills the tests (Linux)."""
    if not sys.platform.startswith("linux"):
        yield
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, hard))
    yield
    resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
