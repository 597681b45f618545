"""``headrace limits``: what is remembered of limits between runs; show it, or forget it."""

from __future__ import annotations

import json
import sys
from typing import TYPE_CHECKING, Final

from headrace.adapters import remembered
from headrace.adapters.clock import SystemClock
from headrace.adapters.disk import explain
from headrace.cli import say
from headrace.core.errors import ConfigError
from headrace.core.spelling import meant
from headrace.policy.cost import DIMENSIONS

if TYPE_CHECKING:
    from argparse import Namespace

    from headrace.policy.known import Known, ToldRate

DONE: Final = 0
_WORDS: Final = {what: what.replace("_", " ") for what in DIMENSIONS}
_SPANS: Final = {1: "second", 60: "minute", 3_600: "hour", 86_400: "day"}
_AGES: Final = ((86_400, "day"), (3_600, "hour"), (60, "minute"))


def execute(arguments: Namespace) -> int:
    """Show or forget, and return the exit code; raises ``ConfigError`` for what is not there."""
    try:
        if arguments.names is not None:
            return _forget(arguments.names, everything=arguments.all)
        return _show(as_json=arguments.json)
    except OSError as error:
        raise ConfigError(explain(error, remembered.folder())) from None


def _show(*, as_json: bool) -> int:
    found, now = remembered.every(), SystemClock().wall()
    for known in found:
        line = json.dumps(known.form()) if as_json else sentence(known, now)
        say.line(line, sys.stdout)
    if not found and not as_json:
        say.line(
            "Nothing is known of any limit yet; a run finds out, and the next one begins there."
            " Of servers on this machine only a run with --remember-limits does."
        )
    return DONE


def _forget(names: list[str], *, everything: bool) -> int:
    if everything == bool(names):
        not_both = ", not both" if everything else ""
        raise ConfigError(
            f"name what shall be forgotten as headrace limits shows it, or give --all{not_both}"
        )
    found = remembered.every()
    known = {name for each in found for name in (each.route, each.model)}
    for name in names:
        if name not in known:
            raise ConfigError(
                f"nothing is known of {name!r}, so nothing is forgotten{meant(name, known)}"
            )
    if everything:
        remembered.forget_all()
    for each in found:
        if everything or each.route in names or each.model in names:
            remembered.forget(each.route)
            say.line(f"Forgot {each.route}.")
    return DONE


def sentence(known: Known, now: float) -> str:
    """All that is known of one route, and how old it is at ``now`` (seconds since 1970)."""
    said = []
    if known.told:
        said.append(f"told {', '.join(map(_rate, known.told))}")
    if known.per_minute is not None:
        said.append(f"found {known.per_minute:,.0f} requests a minute")
    if known.at_once is not None:
        # Why it refused then nobody knows: it may have been the rate.
        more = ", refused some beside more" if known.is_bound else ""
        said.append(f"bore {known.at_once:,.0f} at once{more}")
    if known.correction is not None:
        said.append(f"counts {known.correction:.2f} input tokens for each one estimated")
    age = f"{_age(now - known.at)}{', too old to begin with' if known.is_old(now) else ''}"
    return f"{known.route}: {'; '.join(said) or 'nothing'} ({age})"


def _rate(told: ToldRate) -> str:
    span = _SPANS.get(int(told.seconds), f"{told.seconds:g} s")
    return f"{told.amount:,.0f} {_WORDS[told.what]} a {span}"


def _age(seconds: float) -> str:
    for span, name in _AGES:
        if seconds >= span:
            count = int(seconds // span)
            return f"{count} {name}{'' if count == 1 else 's'} ago"
    return "just now"
