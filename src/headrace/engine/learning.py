"""What the replies of one route teach about the size of prompts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from headrace.policy import reservation
from headrace.policy.correction import Correction
from headrace.policy.quantile import Quantile

if TYPE_CHECKING:
    from headrace.core.context import RequestContext
    from headrace.core.response import Usage

# Replies to learn from where no limit counts tokens, and estimates serve nobody but who asks. Where
# one does, one reply in so many teaches from then on.
ENOUGH: Final = 256
THINNED: Final = 8


class Learning:
    """The correction of one route's estimates, and what it answers; as old as the route."""

    __slots__ = ("_heard", "correction", "output")

    def __init__(self) -> None:
        self.correction = Correction()
        self.output = Quantile()
        self._heard = 0

    def recall(self, ratio: float) -> None:
        """Begin with the correction of an earlier run."""
        self.correction = Correction.remembered(ratio)

    def learn(self, context: RequestContext, estimated: int, usage: Usage) -> None:
        """A reply came; ``estimated`` is 0 where its prompt was not looked at before."""
        self._heard += 1
        if self._heard > ENOUGH and (not estimated or self._heard % THINNED):
            return
        self.output.add(usage.output_tokens)
        if not estimated:
            schemas = context.schemas
            estimated = reservation.input_tokens(context.asked, context.params, schemas)
        used = usage.input_tokens + usage.cache_read_tokens + usage.cache_write_tokens
        if used:  # some servers count none
            self.correction = self.correction.seen(estimated, used)
