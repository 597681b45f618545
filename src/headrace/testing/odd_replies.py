"""Replies that are out of order, which only the conformance suite plays."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from headrace.testing.faults import Fault
from headrace.testing.seen import Answer

if TYPE_CHECKING:
    from headrace.testing.server import Turn


@dataclass(frozen=True, slots=True)
class Cut(Fault):
    """An honest answer whose JSON ends too soon, in a reply that is whole."""

    async def play(self, turn: Turn) -> None:
        """Answer so."""
        turn.respond(replace(turn.answer, body=turn.answer.body[:-20]))


@dataclass(frozen=True, slots=True)
class ErrorWith200(Fault):
    """The dialect's error body, in a reply that says 200."""

    async def play(self, turn: Turn) -> None:
        """Answer so."""
        turn.respond(replace(turn.error(529), status=200))


@dataclass(frozen=True, slots=True)
class Around(Fault):
    """A redirect to where the request was sent to; whoever follows it gets an answer."""

    async def play(self, turn: Turn) -> None:
        """Answer so."""
        turn.respond(Answer(307, b"", (("location", turn.seen.path),)))


@dataclass(frozen=True, slots=True)
class EchoesKey(Fault):
    """A refusal that quotes the API key, as some servers do."""

    key: str

    async def play(self, turn: Turn) -> None:
        """Answer so."""
        said = f"Incorrect API key provided: {self.key}. Find yours in the console."
        turn.respond(turn.error(401, said))
