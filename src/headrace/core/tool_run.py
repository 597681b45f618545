"""What came of a conversation in which a model called tools."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from headrace.core.conversation import Conversation
from headrace.core.response import APIResponse, Usage

T = TypeVar("T")


@dataclass(frozen=True, slots=True, repr=False)
class ToolRun(Generic[T]):
    """The rounds of ``run_tool_loop``: one response each, good or bad.

    ``conversation`` holds everything that was said, the last turn included, to go on with.
    ``is_complete`` says whether the last response is an answer: not an error, and nothing that
    still asks for tools (more rounds were wanted than allowed, or a call is yours to make).
    """

    rounds: tuple[APIResponse[T], ...]
    conversation: Conversation
    is_complete: bool

    def __repr__(self) -> str:
        how = "complete" if self.is_complete else "not complete"
        return f"<ToolRun: {len(self.rounds)} rounds, {how}: {self.response!r}>"

    @property
    def response(self) -> APIResponse[T]:
        """The last response."""
        return self.rounds[-1]

    @property
    def cost(self) -> float | None:
        """USD of all rounds together; None when that of one is unknown."""
        costs = [0 if _is_free(each) else each.cost_nanos for each in self.rounds]
        known = [cost for cost in costs if cost is not None]
        return sum(known) / 1e9 if len(known) == len(costs) else None

    @property
    def usage(self) -> Usage:
        """The tokens of all rounds together."""
        return sum((each.usage for each in self.rounds if each.usage is not None), Usage())

    def raise_for_error(self) -> ToolRun[T]:
        """Return the run itself, or raise the error of its last response."""
        self.response.raise_for_error()
        return self


def _is_free(response: APIResponse[Any]) -> bool:
    """Did it fail without anything that may have been charged?"""
    if response.error is None or response.cost_nanos is not None:
        return False
    return response.usage is None and not response.uncertain_attempts
