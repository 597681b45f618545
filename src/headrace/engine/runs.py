"""A run: many requests, what became of them, and the sentence that sums it up."""

from __future__ import annotations

import itertools
from array import array
from collections.abc import Sized
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from headrace.core.model import dollars
from headrace.core.response import APIResponse, Responses, Usage
from headrace.engine.tally import Tokens

if TYPE_CHECKING:
    from collections.abc import Hashable

MARKS: Final = 1 << 16
_NOT_SENT: Final = {
    "cache": "{:,} from the cache",
    "coalesced": "{:,} shared",
    "journal": "{:,} from the journal",
}


@dataclass(slots=True, repr=False)
class Summary:
    """What became of a run; ``str()`` is the sentence shown at its end.

    ``total`` rows are finished; ``expected`` is how many there are, None while that is unknown.
    ``prices`` is a sentence on where prices came from, or what to do where they are unknown.
    """

    total: int = 0
    expected: int | None = None
    succeeded: int = 0
    failed: int = 0
    truncated: int = 0
    duplicates: int = 0
    sends: int = 0
    uncertain: int = 0
    resent: int = 0
    unpriced: int = 0
    unsettled: int = 0
    cost_nanos: int = 0
    elapsed: float = 0.0
    is_complete: bool = True
    prices: str | None = None
    usage: Usage = field(default_factory=Usage)
    sources: dict[str, int] = field(default_factory=dict)
    errors: dict[str, int] = field(default_factory=dict)

    @property
    def cost(self) -> float | None:
        """USD spent by this run; None when of nothing that was sent the cost is known."""
        is_unknown = (self.unpriced or self.unsettled) and not self.cost_nanos
        return None if is_unknown else self.cost_nanos / 1e9

    def __str__(self) -> str:
        return " ".join(_sentences(self))

    def __repr__(self) -> str:
        return f"<Summary: {self}>"


class Run:
    """One call's requests while they are under way, and afterwards what they became.

    ``responses`` holds what is finished, in the order of the prompts, also after an interrupt.
    """

    def __init__(self, *, keep: bool, counts_duplicates: bool, prompts: object = None) -> None:
        """``keep``: collect the responses; a stream or a file does not."""
        self.summary = Summary(expected=len(prompts) if isinstance(prompts, Sized) else None)
        self.started_at = 0
        self._kept: list[APIResponse[object] | None] | None = [] if keep else None
        self._seen = array("q", bytes(8 * MARKS)) if counts_duplicates else None
        self._occurrences: dict[Hashable, int] = {}
        self._tokens = Tokens()

    def __repr__(self) -> str:
        return f"<Run: {self.summary}>"

    @property
    def responses(self) -> Responses[object]:
        """The finished responses, in the order of the prompts."""
        return Responses(r for r in self._kept or () if r is not None)

    def occurrence(self, key: Hashable) -> int:
        """How often this request came before in the run."""
        number = self._occurrences.get(key, 0)
        self._occurrences[key] = number + 1
        return number

    def see(self, prompt: Hashable) -> None:
        """Notice a prompt, to be able to say that some were asked more than once.

        Half a megabyte however long the run: what is seen last keeps its place, so that in very
        long runs some duplicates go unnoticed, and none is invented but by a collision of hashes.
        """
        if self._seen is None:
            return
        mark = hash(prompt)
        place = mark % MARKS
        if self._seen[place] == mark:
            self.summary.duplicates += 1
        else:
            self._seen[place] = mark

    def finish(self, response: APIResponse[object]) -> None:
        """Count a finished row, and keep it if the run keeps its rows."""
        self._count(response)
        kept = self._kept
        if kept is None:
            return
        index = response.index
        if index >= len(kept):
            kept.extend(itertools.repeat(None, index + 1 - len(kept)))
        kept[index] = response

    def write_off(self, response: APIResponse[object]) -> None:
        """Count what was spent on a row that is not finished: the run was stopped or cancelled."""
        if response.source == "provider":
            self._count_spending(response)

    def close(self, elapsed: float) -> Summary:
        """The run is over."""
        self.summary.elapsed = elapsed
        self.summary.usage = self.usage
        self._seen = None
        self._occurrences.clear()
        return self.summary

    @property
    def usage(self) -> Usage:
        """Tokens used so far by what this run sent itself."""
        return self._tokens.usage

    def _count(self, response: APIResponse[object]) -> None:
        summary = self.summary
        summary.total += 1
        if response.error is not None:
            summary.failed += 1
            code = response.error.code
            summary.errors[code] = summary.errors.get(code, 0) + 1
        else:
            summary.succeeded += 1
            summary.truncated += response.finish_reason == "length"
            source = response.source
            summary.sources[source] = summary.sources.get(source, 0) + 1
        if response.source == "provider":
            self._count_spending(response)

    def _count_spending(self, response: APIResponse[object]) -> None:
        summary, usage = self.summary, response.usage
        summary.sends += response.attempts
        summary.uncertain += response.uncertain_attempts
        if usage is not None:
            self._tokens.add(usage)
        if response.cost_nanos is not None:
            summary.cost_nanos += response.cost_nanos
        elif response.attempts and (response.error is None or usage is not None):
            summary.unpriced += 1
        summary.unsettled += response.error is not None and response.uncertain_attempts > 0


def _sentences(s: Summary) -> list[str]:
    rate = f" ({s.total / s.elapsed:.1f}/s)" if s.elapsed > 0 and s.total else ""
    said = [f"{_progress(s)} in {s.elapsed:.1f} s{rate}."]
    if s.failed:
        codes = ", ".join(f"{n:,} {code}" for code, n in sorted(s.errors.items()))
        said.append(f"{s.failed:,} failed ({codes}).")
    others = [_NOT_SENT[k].format(n) for k, n in sorted(s.sources.items()) if k in _NOT_SENT]
    if others:
        said.append(f"Not sent: {', '.join(others)}.")
    spent = f"{s.sends:,} sent, {s.usage.total_tokens:,} tokens"
    said.append(spent + (", cost unknown." if s.cost is None else f", {dollars(s.cost_nanos)}."))
    said.extend(_remarks(s))
    return said


def _progress(s: Summary) -> str:
    """How far it came; of a run that ended early, ``total`` is not how many rows there are."""
    if s.is_complete:
        return f"{s.succeeded:,} of {s.total:,} answered"
    of = "answered so far" if s.expected is None else f"of {s.expected:,} answered"
    return f"The run ended early: {s.succeeded:,} {of}"


def _remarks(s: Summary) -> list[str]:
    said = []
    if s.truncated:
        said.append(f"{s.truncated:,} cut off at their output bound; raise max_tokens.")
    if s.duplicates:
        said.append(f"{s.duplicates:,} asked more than once; a cache would share their answers.")
    if s.uncertain:
        said.append(f"{s.uncertain:,} sent without a readable reply and may have been charged.")
    if s.resent:
        said.append(f"{s.resent:,} in flight when an earlier run ended may have been sent twice.")
    if s.unpriced and s.cost is not None:
        said.append(f"{s.unpriced:,} without a known price or usage are not in the cost.")
    if s.unsettled and s.cost is not None:
        said.append(f"{s.unsettled:,} whose outcome is unknown are not in the cost.")
    if s.prices is not None:
        said.append(s.prices)
    return said
