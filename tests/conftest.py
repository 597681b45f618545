"""What holds for every test: no network but loopback, a clean environment, steady dice."""

from __future__ import annotations

import gc
import ipaddress
import os
import re
import socket
import sys
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import settings

from headrace.testing import FakeServer

if TYPE_CHECKING:
    from collections.abc import Iterator

# RFC 6761: names that never resolve; answered here, so that no resolver is asked.
NOWHERE: Final = (".invalid", ".test", ".example")
PRIVATE: Final = re.compile(
    r"(?i)HEADRACE_|OPENAI_|ANTHROPIC_|AWS_|AZURE_|OLLAMA_|HF_TOKEN|.*_TOKEN$|.*_API_KEY(_\d+)?$"
)

# Where nothing can be written that one test would leave behind for another.
NOT_A_FOLDER: Final = f"{os.devnull}/state"

# Moderate, and the same each time; how many is said here alone. The sweep rolls fresh dice.
settings.register_profile("steady", deadline=None, derandomize=True, max_examples=60)
# On further interpreters: the same tests, with fewer examples.
settings.register_profile("quick", deadline=None, derandomize=True, max_examples=15)
settings.register_profile("sweep", deadline=None, max_examples=2000)
settings.load_profile("steady")


def _only_loopback(event: str, arguments: tuple[object, ...]) -> None:
    """Refuse what leaves this machine; an audit hook sees every socket, and patches none."""
    if event == "socket.getaddrinfo":
        _check_name(arguments[0])
    elif event in {"socket.connect", "socket.sendto"} and isinstance(arguments[1], tuple):
        _check_name(arguments[1][0])


def _check_name(host: object) -> None:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in {"", "localhost"}:
        return
    if name.endswith(NOWHERE):
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
    try:
        here = ipaddress.ip_address(name.partition("%")[0])
    except ValueError:
        here = None
    if here is None or not (here.is_loopback or here.is_unspecified):
        sentence = f"a test wanted to reach {name}; tests talk to loopback only"
        raise AssertionError(sentence)


def pytest_configure() -> None:
    """Close the network for the whole process; an audit hook cannot be taken out again."""
    sys.addaudithook(_only_loopback)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Keep the real model's tests on one worker: its threads take all cores by themselves."""
    for item in items:
        if item.get_closest_marker("real") is not None:
            item.add_marker(pytest.mark.xdist_group("real"))


def pytest_collection_finish() -> None:
    """Thousands of tests are no garbage, and need not be looked through at each collection."""
    gc.collect()
    gc.freeze()


@pytest.fixture
def server() -> Iterator[FakeServer]:
    """A server that echoes, in a thread of its own."""
    with FakeServer.in_thread() as running:
        yield running


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keys and settings of whoever runs the tests must not reach them."""
    for name in list(os.environ):
        if PRIVATE.match(name):
            monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", NOT_A_FOLDER)
