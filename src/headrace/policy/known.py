"""What is known of one route's limits, in the form in which it is remembered between runs. Pure.

It is a hint where to begin and never a bound: whoever begins there finds out the rest as without
it. So what cannot be read, or is not of the expected form, is as if it were not there.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, Final, TypeAlias, TypeGuard

from headrace.policy.adaptive import FIRST
from headrace.policy.cost import DIMENSIONS

FORMAT: Final = 1
# Seconds: what is older has been changed by the vendor as likely as not.
LASTS: Final = 7 * 86_400
# What has not changed is written again after so many seconds, so that it does not grow old.
FRESH: Final = 86_400
# A change of less than this part is none.
CLOSE: Final = 0.05
_LEAST: Final = 1e-3
_MOST: Final = 1e15
_LONGEST: Final = 512
# Seconds: no vendor counts over more than a month.
_LONG: Final = 31 * 86_400
Figures: TypeAlias = "tuple[tuple[object, float], ...]"


@dataclass(frozen=True, slots=True)
class ToldRate:
    """What a server has said that it allows: so much of something in so many seconds."""

    what: str
    seconds: float
    amount: float


@dataclass(frozen=True, slots=True)
class Known:
    """The limits of one route; what is None is not known.

    ``model`` is ``"PLACE/NAME"`` and ``route`` the same with the number of the key and the region,
    where there are several; ``at`` is when this was so, in seconds since 1970. ``at_once`` requests
    were borne, and more of them refused where it ``is_bound``; ``per_minute`` is the pace of
    requests that was found out by refusals, ``by_windows`` where each minute is counted alone.
    ``correction`` is the ratio of input tokens used to those estimated.
    """

    route: str
    model: str
    at: float
    at_once: float | None = None
    is_bound: bool = False
    per_minute: float | None = None
    by_windows: bool = False
    told: tuple[ToldRate, ...] = ()
    correction: float | None = None

    @property
    def first_at_once(self) -> float | None:
        """So many at once to begin with: below what a server was refused, whole where it tells.

        One that only gets slower has to show once more, from half of it on, when that begins.
        """
        if self.at_once is None or self.is_bound or self.told:
            return self.at_once
        return self.at_once / 2

    @property
    def is_empty(self) -> bool:
        """Is nothing known?"""
        return not self.figures()

    def is_old(self, now: float) -> bool:
        """Is it too old to begin with? ``now``: seconds since 1970."""
        return abs(now - self.at) > LASTS

    def is_news(self, before: Known | None) -> bool:
        """Is it worth being written down, where ``before`` was?"""
        if self.is_empty or before is None:
            return not self.is_empty
        mine, theirs = dict(self.figures()), dict(before.figures())
        flags = self.by_windows == before.by_windows and self.is_bound == before.is_bound
        if mine.keys() != theirs.keys() or not flags:
            return True
        is_other = any(abs(mine[name] - theirs[name]) > CLOSE * theirs[name] for name in mine)
        return is_other or abs(self.at - before.at) > FRESH

    def over(self, before: Known | None, *, is_stated: bool) -> Known:
        """This, and of what was known before what this could not find out.

        ``is_stated``: how many there may be at once was said by the user. A pace is not looked for
        where the server tells limits.
        """
        if before is None:
            return self
        more: dict[str, Any] = {}
        if is_stated or self._has_hardly_begun(before):
            more |= {"at_once": before.at_once, "is_bound": before.is_bound}
        if self.per_minute is None and not self.told:
            more |= {"per_minute": before.per_minute, "by_windows": before.by_windows}
        if self.correction is None:
            more["correction"] = before.correction
        return replace(self, **more)

    def _has_hardly_begun(self, before: Known) -> bool:
        """Was it too short to come to where it was before?"""
        first = before.first_at_once
        is_open = not self.is_bound and not before.is_bound
        return is_open and first is not None and (self.at_once or FIRST) <= max(first, FIRST)

    def form(self) -> dict[str, object]:
        """As JSON, with what is known alone."""
        given = {name: value for name, value in asdict(self).items() if value}
        return {"format": FORMAT, **given}

    def figures(self) -> Figures:
        """Each number that is known, by what it is of."""
        named = ("at_once", "per_minute", "correction")
        own = ((name, getattr(self, name)) for name in named)
        told = (((each.what, each.seconds), each.amount) for each in self.told)
        return (*((name, value) for name, value in own if value is not None), *told)


def read(form: object) -> Known | None:
    """What ``Known.form`` has written; None for what is no such thing, or of another format."""
    if not isinstance(form, dict) or form.get("format") != FORMAT:
        return None
    route, model, at = form.get("route"), form.get("model"), _number(form.get("at"))
    if not _is_name(route) or not _is_name(model) or at is None:
        return None
    told = form.get("told")
    return Known(
        route,
        model,
        at,
        at_once=_number(form.get("at_once")),
        is_bound=form.get("is_bound") is True,
        per_minute=_number(form.get("per_minute")),
        by_windows=form.get("by_windows") is True,
        told=_rates(told) if isinstance(told, list) else (),
        correction=_number(form.get("correction")),
    )


def _rates(forms: list[object]) -> tuple[ToldRate, ...]:
    """Those that can be read; of several for one dimension the last."""
    found = {}
    for form in forms:
        if not isinstance(form, dict):
            continue
        what, seconds, amount = form.get("what"), form.get("seconds"), form.get("amount")
        of, allowed = _number(seconds) or 0.0, _number(amount) or 0.0
        if what in DIMENSIONS and 1 <= of <= _LONG and allowed >= 1:
            found[what] = ToldRate(what, of, allowed)
    return tuple(found.values())


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST


def _number(value: object) -> float | None:
    """A number that may be a limit, a time or a ratio."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and _LEAST <= value <= _MOST else None  # type: ignore[operator, arg-type]  # checked just before
