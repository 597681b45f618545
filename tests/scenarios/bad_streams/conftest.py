"""The checks that all files here share say what differs, as those of a test file do."""

import pytest

pytest.register_assert_rewrite("tests.scenarios.bad_streams.meeting")
