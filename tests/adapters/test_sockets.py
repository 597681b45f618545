"""No more at once than there may be connections."""

from __future__ import annotations

import resource

import pytest

from headrace.adapters import sockets


def test_a_tight_limit_of_files_bounds_what_is_in_flight() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < 256:
        pytest.skip("fewer files than this test needs")
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
    try:
        assert sockets.most() == 256 - sockets.OTHERS
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
