"""What one request costs against limits: one request, and tokens in three countings. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from headrace.core.response import Usage


class Cost(NamedTuple):
    """Amounts in each dimension that a limit may have; ``tokens`` is input and output together.

    ``declared`` is no dimension: of the output tokens, what the caller has declared as the most.
    """

    requests: int
    tokens: int
    input_tokens: int
    output_tokens: int
    declared: int = 0

    def charged(self, used: Cost) -> Cost:
        """What a vendor charges that counts what was declared, when this was reserved."""
        more = self.declared - used.output_tokens
        if more <= 0 or not used.tokens:
            return used
        return cost(used.input_tokens, used.output_tokens + more)


def cost(input_tokens: int, output_tokens: int, declared: int = 0) -> Cost:
    """One request of so many tokens."""
    return Cost(1, input_tokens + output_tokens, input_tokens, output_tokens, declared)


def spent(usage: Usage) -> Cost:
    """What a reply used, cache reads and writes included."""
    written = usage.output_tokens
    return cost(usage.total_tokens - written, written)


# Where no limit counts tokens, nobody looks at the prompt.
ONE: Final = Cost(1, 0, 0, 0)
NOTHING: Final = Cost(0, 0, 0, 0)
DIMENSIONS: Final = Cost._fields[:4]
