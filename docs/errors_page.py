"""Writes the page docs/errors.md to standard output, from the tree in headrace.core.errors."""

from __future__ import annotations

import inspect
import sys
from typing import TYPE_CHECKING, Final

from headrace.core import errors
from headrace.core.errors import HeadraceError

if TYPE_CHECKING:
    from collections.abc import Iterator

HEAD: Final = """# Errors

<!-- Written by `nox -s errors-page` from headrace.core.errors; do not edit by hand. -->

Inside a run an error is data: it stands on the row's response (`response.error`), and the other
rows go on. `response.raise_for_error()` raises it. In output files it is an object with `code`,
`message`, `retryable` and what else is known. All classes are in `headrace.errors`.

The class is the classification. *Repeated here* and *elsewhere* say whether headrace itself tries
the same request again on the same route or on another one; *charged* whether the provider bills for
it; *concerns* what it may stop; *breaker* whether it counts against the route's health.
"""
TABLE: Final = """
## At a glance

| class | code | repeated here | elsewhere | charged | concerns | breaker |
|---|---|---|---|---|---|---|
"""
NO_YES: Final = ("no", "yes")
# What the reader can do about it; what headrace does by itself follows from the class.
ADVICE: Final = {
    "error": "Catch it to catch everything that headrace raises on purpose.",
    "config": "Change the setting that the message names and start again.",
    "stopped": "Mend the cause and run the same command again; what is finished is kept.",
    "no_route": "Check key, model name and `base_url`, or wait for the provider; then run again.",
    "all_routes_failed": "Catch it for both that are it; read what came of each route.",
    "all_routes_closed": "Mend what the message says of each route, or add one; then run again.",
    "all_routes_late": "Give the row more time with `deadline`, or add a route that works.",
    "connection_lost": "Nothing, as long as retries are left; else look at the server and proxies.",
    "invalid_output": "Nothing, as long as retries are left; else loosen the schema.",
    "cut_off": "Raise `max_tokens` (or the row's `max_output_tokens`), or ask for less.",
    "journal": "End the other process or free the disk, then run again; `--fresh` starts over.",
    "request": "Read the class below it; the other rows are untouched.",
    "bad_row": "Mend the row in the input and run again; only changed rows are sent.",
    "too_large": "Shorten the prompt, bound the output with `max_tokens`, or raise the limit.",
    "deadline": "Give the row more time with `deadline`, or ask for less at once.",
    "unexpected": "Please report it with its cause; the rest of the run is unharmed.",
    "provider": "Read the class below it; `status`, `route` and `history` say what happened.",
    "not_sent": "Check the network, the host and its certificate.",
    "held_back": "Nothing: headrace sends the request a little later.",
    "outcome_unknown": "Raise `request_timeout` if answers are slow; it may have been billed.",
    "truncated": "Ask again; what has arrived may have been billed.",
    "overloaded": "Nothing; if it lasts, add another route or come back later.",
    "rate_limited": "Nothing; if it lasts, set the limits that your account has.",
    "quota": "Look at the provider's billing page; raise the cap or add credit.",
    "gone": "Check the key, its permissions, the model name and `base_url`.",
    "rejected": "Read the provider's sentence in the message and change the request.",
    "not_taken": "Leave out what it does not take, or add a model that takes it.",
    "too_long": "Shorten the prompt, or add a model with a larger context.",
    "filtered": "Change the prompt, or leave the row out.",
    "unreadable_reply": "Look at `reply`; a proxy or a login page often stands in the way.",
    "page": "Change the row if a firewall dislikes it alone; else check `base_url` and proxies.",
}


def family(root: type[HeadraceError]) -> Iterator[type[HeadraceError]]:
    """``root`` and all that descend from it, in the order in which they are written."""
    yield root
    for child in root.__subclasses__():
        if child.__module__ == errors.__name__ and child.__bases__[0] is root:
            yield from family(child)


def row(kind: type[HeadraceError]) -> str:
    """One class as a line of the table."""
    cells = (
        f"[`{kind.__name__}`](#{kind.__name__.lower()})",
        f"`{kind.code}`",
        NO_YES[kind.repeat_here],
        NO_YES[kind.repeat_elsewhere],
        kind.charged.value,
        kind.concerns.value,
        NO_YES[kind.trips_breaker],
    )
    return f"| {' | '.join(cells)} |\n"


def section(kind: type[HeadraceError]) -> str:
    """What one class means: its code, its bases, when it comes, and what to do."""
    bases = ", ".join(f"`{base.__name__}`" for base in kind.__bases__)
    return (
        f"\n## {kind.__name__}\n\n`{kind.code}`, a kind of {bases}.\n\n"
        f"{inspect.getdoc(kind)}\n\n*What to do:* {ADVICE[kind.code]}\n"
    )


def page() -> str:
    """The whole page."""
    kinds = list(family(HeadraceError))
    return HEAD + TABLE + "".join(map(row, kinds)) + "".join(map(section, kinds))


if __name__ == "__main__":
    sys.stdout.write(page())
