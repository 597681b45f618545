"""The stores of shared limits keep the same book, and their troubles are sentences."""

from __future__ import annotations

import os
import pickle
import random
import re
import sqlite3
import stat
import sys
import threading
from typing import TYPE_CHECKING, Any, Final

import pytest

from headrace import LLMClient, RedisLimits, SqliteLimits
from headrace.adapters.shared import open_shared
from headrace.core.errors import ConfigError
from headrace.policy.leases import MINUTE, SECOND, Answer, Ask, Book, Message
from tests.redis_server import RedisServer, needs_redis

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Step = Callable[[Message, int], Answer]

START: Final = 1_790_000_000 * SECOND
DAY: Final = 1_440 * MINUTE
STEPS: Final = (0, 1_000, 20_000, 100_000, 300_000, SECOND, 5 * SECOND, 61 * SECOND)
ODD: Final = (-SECOND // 2, -1_000 * SECOND, DAY)
ONE: Final = Message("me", {"client": (Ask("requests_per_minute", 600, MINUTE, need=1),)})


@pytest.fixture(scope="module")
def server() -> Iterator[RedisServer]:
    with RedisServer() as running:
        yield running


def table(seed: int) -> Iterator[tuple[Message, int]]:
    """Steps of four processes over two scopes, in time that jumps now and then."""
    dice, now, stamps = random.Random(seed), START, [START // 118_000]

    def ask(name: str, amount: float, interval: int = MINUTE) -> Ask:
        back = tuple((dice.choice(stamps), dice.randint(1, 40)) for _ in range(dice.randint(0, 2)))
        need, most = dice.choice((0, 1, 5, 500)), dice.choice((0, 5, 100))
        return Ask(name, amount, interval, need, most, dice.choice((0, 0, 0, 33)), back)

    for _ in range(400):
        now += dice.choice(STEPS if dice.random() < 0.95 else ODD)
        scopes = {
            "client": (ask("requests", 600.5), ask("tokens", 100_000)),
            "openai/x": (ask("requests_per_day", 500, DAY), ask("requests", 77)),
        }
        quiet = {"quiet openai/x": dice.randint(1, SECOND)} if dice.random() < 0.2 else {}
        message = Message(f"p{dice.randint(0, 3)}", scopes if dice.random() < 0.8 else {}, quiet)
        yield message, now
        stamps = [*stamps[-5:], now // 118_000, now // 118_003]


@pytest.mark.parametrize("seed", range(3))
def test_sqlite_says_what_the_book_says(seed: int, tmp_path: Path) -> None:
    check_same(SqliteLimits(tmp_path / "limits.db").step, seed)


@needs_redis
@pytest.mark.parametrize("seed", range(6))
def test_redis_says_what_the_book_says(seed: int, server: RedisServer) -> None:
    check_same(RedisLimits(server.url, name=f"table {seed}").step, seed)


def check_same(step: Step, seed: int) -> None:
    book, lent = Book(), 0
    for message, now in table(seed):
        expected = book.exchange(message, now)
        assert step(message, now) == expected
        lent += sum(sum(lease.amounts) for lease in expected.leases.values())
    assert lent > 1_000


@needs_redis
def test_redis_goes_by_its_own_clock(server: RedisServer) -> None:
    one, other = (RedisLimits(server.url, name="clock") for _ in range(2))
    assert one.step(ONE).leases["client"].amounts == (1,)
    # The pace of the second process goes on where the first one's was.
    lease = other.step(ONE).leases["client"]
    assert lease.amounts == (1,)
    assert 50_000 < lease.delay <= 101_500
    assert RedisLimits(server.url, name="another").step(ONE).leases["client"].delay == 0


@needs_redis
def test_redis_forgets_what_nobody_uses_and_keeps_its_keys_on_one_node(server: RedisServer) -> None:
    import redis  # noqa: PLC0415  an extra, that may not be here

    RedisLimits(server.url, name="kept").step(Message("me", ONE.scopes, {"quiet x": SECOND}))
    client = redis.Redis.from_url(server.url, decode_responses=True)
    keys = sorted(client.keys("{kept}*"))
    assert keys == ["{kept}:quiet", "{kept}:scope:client"]
    assert 110_000 < client.pttl("{kept}:scope:client") <= 120_000
    assert 0 < client.pttl("{kept}:quiet") <= 2_000
    client.close()


@needs_redis
def test_a_password_is_used_and_shown_nowhere(monkeypatch: pytest.MonkeyPatch) -> None:
    with RedisServer("--requirepass", "s3cret-word") as closed:
        place = closed.url.removeprefix("redis://")
        known = RedisLimits(f"redis://:s3cret-word@{place}")
        assert known.step(ONE).leases["client"].amounts == (1,)
        for wrong in (RedisLimits(f"redis://:wr0ng-word@{place}"), RedisLimits(closed.url)):
            with pytest.raises(OSError, match=f"at redis://{place} cannot be reached") as refused:
                wrong.step(ONE)
            assert "wr0ng-word" not in str(refused.value)
        monkeypatch.setenv("HEADRACE_REDIS_PASSWORD", "s3cret-word")
        assert RedisLimits(closed.url).step(ONE).leases["client"].amounts
    assert "s3cret-word" not in f"{known} {known!r} {vars(known)}"
    with pytest.raises(OSError, match="cannot be reached") as lost:
        known.step(ONE)
    assert "s3cret-word" not in str(lost.value)
    for held in (known, RedisLimits("redis://127.0.0.1?password=s3cret-word")):
        with pytest.raises(TypeError, match="HEADRACE_REDIS_PASSWORD"):
            pickle.dumps(held)


@needs_redis
def test_a_server_that_comes_back_is_used_again(server: RedisServer) -> None:
    with RedisServer() as own:
        limits = RedisLimits(own.url)
        assert limits.step(ONE).leases["client"].amounts
        own.stop()
        with pytest.raises(OSError, match="cannot be reached"):
            limits.step(ONE)
        own.start()
        assert limits.step(ONE).leases["client"].amounts
    assert server.url != own.url


def test_a_file_is_shared_by_all_who_name_it_and_read_by_nobody_else(tmp_path: Path) -> None:
    path = tmp_path / "limits.db"
    several = [SqliteLimits(path) for _ in range(4)]
    got: list[Answer] = []

    def spend(limits: SqliteLimits) -> None:
        got.extend(limits.step(ONE, START) for _ in range(25))

    threads = [threading.Thread(target=spend, args=(limits,)) for limits in several]
    for each in threads:
        each.start()
    for each in threads:
        each.join()
    # At 600 a minute one each tenth of a second, at most a fifth of a second ahead.
    assert sum(sum(answer.leases["client"].amounts) for answer in got) == 2
    assert len(got) == 100
    if os.name == "posix":
        assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_misspelt_folder_is_told_and_not_made(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"there is no folder .*/misspelt\); choose"):
        SqliteLimits(tmp_path / "misspelt" / "limits.db")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("place", ["localhost:6379", "10.0.0.7:6379/0", "redis:/host", "unix:/x"])
def test_the_address_of_a_server_is_no_file(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigError, match="address of a server; redis:// goes before it"):
        open_shared(place)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("path", [5, None, True, [], "", "a\0b"])
def test_what_is_no_path_is_one_sentence(path: Any) -> None:  # noqa: ANN401  wrong on purpose
    with pytest.raises(ConfigError, match=r"^the shared limits in .* cannot be used \("):
        SqliteLimits(path)


def test_a_file_that_is_deleted_is_begun_anew(tmp_path: Path) -> None:
    limits = SqliteLimits(tmp_path / "limits.db")
    limits.step(ONE)
    limits.path.unlink()
    assert limits.step(ONE).leases["client"].amounts == (1,)


def test_what_is_no_file_of_shared_limits_is_left_alone(tmp_path: Path) -> None:
    other, text = tmp_path / "other.db", tmp_path / "text.db"
    with sqlite3.connect(other) as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    text.write_text("no database at all, and longer than a header of a hundred bytes " * 3)
    for path in (other, text):
        before = path.read_bytes()
        with pytest.raises(OSError, match=r"no file of shared limits; name another"):
            SqliteLimits(path).step(ONE)
        assert path.read_bytes() == before


def test_a_file_that_another_process_holds_is_told(tmp_path: Path) -> None:
    limits = SqliteLimits(tmp_path / "limits.db")
    limits.step(ONE)
    holder = sqlite3.connect(limits.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(OSError, match="another process holds it"):
        limits.step(ONE)
    holder.close()


def test_a_damaged_book_is_told(tmp_path: Path) -> None:
    limits = SqliteLimits(tmp_path / "limits.db")
    limits.step(ONE)
    with sqlite3.connect(limits.path) as connection:
        connection.execute("UPDATE book SET kept = '{'")
    connection.close()
    with pytest.raises(OSError, match="corrupt; delete it"):
        limits.step(ONE)


@pytest.mark.parametrize(
    "wrong",
    [
        5,
        True,
        object(),
        SqliteLimits,
        "http://host:6379",
        "redis://",
        "redis://host:port",
        "redis://user:pass/word@host:6379",
        "redis://user:a#word@host:6379",
        "",
        "a\0b",
    ],
)
def test_what_cannot_be_shared_through_is_refused_with_a_sentence(wrong: object) -> None:
    with pytest.raises(ConfigError) as refused:
        LLMClient("openai/m", base_url="http://127.0.0.1:1/v1", shared_limits=wrong)  # type: ignore[arg-type]  # it is wrong
    assert "shared" in refused.value.message
    assert "word" not in refused.value.message.replace("password", "")


def test_a_folder_or_a_link_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(f"the shared limits in '{tmp_path}' cannot")):
        open_shared(str(tmp_path))
    with pytest.raises(ConfigError, match="not a plain file"):
        SqliteLimits(tmp_path)
    if os.name == "posix":
        (tmp_path / "link").symlink_to(tmp_path / "limits.db")
        with pytest.raises(ConfigError, match="not a plain file"):
            SqliteLimits(tmp_path / "link")


def test_stores_travel_and_settings_are_read(tmp_path: Path) -> None:
    limits = pickle.loads(pickle.dumps(SqliteLimits(tmp_path / "limits.db")))
    assert limits.path == tmp_path / "limits.db"
    assert open_shared(None) is None
    assert open_shared(limits) is limits


def test_without_the_extra_a_url_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigError, match=r'pip install "headrace\[redis\]"'):
        RedisLimits("redis://127.0.0.1")


def test_a_name_that_would_split_the_keys_is_refused() -> None:
    for wrong in ("", "a{b", "}"):
        with pytest.raises(ConfigError, match="name of shared limits"):
            RedisLimits("redis://127.0.0.1", name=wrong)
