"""One client in loops, threads, forks, and under Ctrl-C: no warning, no hang, no doubled rate.

Each program runs in an interpreter of its own with every warning an error and asyncio's debug mode.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Final

import pytest

from tests.scenarios.test_limits import most_in_a_minute

if TYPE_CHECKING:
    from headrace.testing import FakeServer

OPENING: Final = """
import asyncio, logging, multiprocessing, os, signal, sys, threading, time
from headrace import LLMClient

# That a step "took 0.1 seconds" says how busy the machine is.
logging.getLogger("asyncio").addFilter(lambda record: "took" not in record.msg)
url = sys.argv[1]

def made(**options):
    return LLMClient("openai/fake", base_url=url, **options)

def ask(client, prompts):
    return [r.completion for r in client.process_prompts_sync(prompts, show_progress=False)]

async def aask(client, prompts):
    return [r.completion for r in await client.process_prompts_async(prompts, show_progress=False)]
"""


def start(server: FakeServer, program: str) -> subprocess.Popen[str]:
    # What fork says about threads is the caller's choice to make, not headrace's doing.
    fork = ("-W", "ignore:This process:DeprecationWarning")
    strict = ("-W", "error", *fork, "-X", "dev", "-X", "faulthandler")
    return subprocess.Popen(
        [sys.executable, *strict, "-c", OPENING + program, server.base_url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def said(server: FakeServer, program: str) -> str:
    """What a program prints; it must end well, and say nothing else."""
    process = start(server, program)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors) == (0, ""), errors
    return out


def test_a_script_that_closes_nothing(server: FakeServer) -> None:
    program = """
client = made()
print(ask(client, ["p"]))
print(client.ask_sync("q").completion)
"""
    assert said(server, program) == "['echo: p']\necho: q\n"


def test_asyncio_run_twice_and_nothing_closed(server: FakeServer) -> None:
    program = """
client = made()
print(asyncio.run(aask(client, ["p"])))
print(asyncio.run(aask(client, ["q"])))
"""
    assert said(server, program) == "['echo: p']\n['echo: q']\n"


def test_a_loop_a_thread_and_the_sync_face_together(server: FakeServer) -> None:
    program = """
client = made(max_concurrent_requests=3)

async def main():
    beside = asyncio.to_thread(asyncio.run, aask(client, ["t"] * 50))
    sync = asyncio.to_thread(ask, client, ["s"] * 50)
    print([len(rows) for rows in await asyncio.gather(beside, sync, aask(client, ["h"] * 50))])
    await client.aclose()

asyncio.run(main())
"""
    server.latency = 0.005
    server.max_concurrent = 3
    assert said(server, program) == "[50, 50, 50]\n"
    assert not server.throttled


def test_a_forked_child_uses_the_client_of_its_parent(server: FakeServer) -> None:
    program = """
client = made(cache="memory")
ask(client, ["before"])
asyncio.run(aask(client, ["before too"]))
child = os.fork()
if child == 0:
    print(ask(client, ["child", "before"]), flush=True)
    print(asyncio.run(aask(client, ["child too"])), flush=True)
    client.close()
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
print(ask(client, ["after"]))
client.close()
"""
    assert said(server, program).splitlines() == [
        "['echo: child', 'echo: before']",
        "['echo: child too']",
        "['echo: after']",
    ]
    assert server.counts == Counter(["before", "before too", "child", "child too", "after"])


def test_a_child_forked_in_the_middle_of_a_run(server: FakeServer) -> None:
    program = """
client = made(max_concurrent_requests=2)
run = threading.Thread(target=lambda: print(len(ask(client, [f"p{n}" for n in range(40)]))))
run.start()
while client.last_run is None or not client.last_run.responses:
    time.sleep(0.001)
child = os.fork()
if child == 0:
    print(ask(client, ["c1", "c2", "c3"]), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
run.join()
client.close()
"""
    server.latency = 0.01
    assert sorted(said(server, program).split("\n")) == [
        "",
        "40",
        "['echo: c1', 'echo: c2', 'echo: c3']",
    ]
    # Nothing of the parent's was sent by the child as well.
    assert set(server.counts.values()) == {1}


@pytest.mark.thorough
def test_a_forked_child_goes_on_with_the_minute_of_its_parent(server: FakeServer) -> None:
    """What it sends is within the limit together with what the parent had sent before."""
    program = """
from headrace.providers.catalog import Catalog
from headrace.testing import Script, VirtualClock, run_virtual, scripted

script, clock = Script(latency=0.1), VirtualClock()
catalog = Catalog({"openai_chat": scripted(script)})
client = made(catalog=catalog, clock=clock, max_requests_per_minute=1_200)
run_virtual(aask(client, ["p"] * 900), clock=clock)
child = os.fork()
if child == 0:
    run_virtual(aask(client, ["c"] * 1_500), clock=clock)
    print(*(f"{call.prompt}{call.at}" for call in script.calls), flush=True)
    os._exit(0)
assert os.waitpid(child, 0)[1] == 0
"""
    calls = said(server, program).split()
    at = [float(call[1:]) for call in calls]
    assert [call[0] for call in calls] == ["p"] * 900 + ["c"] * 1_500
    # The parent took three quarters of a minute; a fork takes none.
    assert at[900] - at[899] < 0.2
    assert most_in_a_minute(at, [1] * len(at)) == 1_200


def test_a_pool_of_forked_workers(server: FakeServer) -> None:
    program = """
client = made()
client.ask_sync("warm")

def work(number):
    return ask(client, [f"p{number}"])

context = multiprocessing.get_context("fork")
with context.Pool(2) as pool:
    print(pool.map(work, range(4)))
    pool.close()
    pool.join()
client.close()
"""
    assert said(server, program) == "[['echo: p0'], ['echo: p1'], ['echo: p2'], ['echo: p3']]\n"


def test_ctrl_c_ends_the_sync_verb_cleanly_and_keeps_what_is_done(server: FakeServer) -> None:
    program = """
client = made(max_concurrent_requests=2)
try:
    client.process_prompts_sync(
        (f"p{n}" for n in range(10_000)),
        show_progress=False,
        on_response=lambda row: row.index == 5 and print("go", flush=True),
    )
except KeyboardInterrupt:
    kept = client.last_run.responses
    print(len(kept) >= 6, not kept.failed)
    print(client.ask_sync("after").completion)
    client.close()
"""
    server.latency = 0.01
    process = start(server, program)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors, out) == (0, "", "True True\necho: after\n")


def test_ctrl_c_ends_asyncio_run_cleanly(server: FakeServer) -> None:
    program = """
client = made(max_concurrent_requests=2)

async def main():
    async with client:
        await client.process_prompts_async(
            (f"p{n}" for n in range(10_000)),
            show_progress=False,
            on_response=lambda row: row.index == 5 and print("go", flush=True),
        )
try:
    asyncio.run(main())
except KeyboardInterrupt:
    print(len(client.last_run.responses) >= 6)
"""
    server.latency = 0.01
    process = start(server, program)
    assert process.stdout is not None
    assert process.stdout.readline() == "go\n"
    process.send_signal(signal.SIGINT)
    out, errors = process.communicate(timeout=30)
    assert (process.returncode, errors, out) == (0, "", "True\n")


def test_a_run_that_is_dropped_leaves_no_warning(server: FakeServer) -> None:
    program = """
client = made(max_concurrent_requests=2)

async def main():
    runs = [asyncio.create_task(aask(client, ["p"] * 1_000)) for _ in range(3)]
    async with client.process_stream(["q"] * 1_000) as rows:
        async for row in rows:
            break
    print(row.completion)

asyncio.run(main())
"""
    server.latency = 0.01
    assert said(server, program) == "echo: q\n"
