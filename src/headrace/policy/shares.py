"""One bill, split over those who caused it: whole numbers that add up exactly. Pure."""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING

from headrace.core.response import Usage

if TYPE_CHECKING:
    from collections.abc import Sequence


def split(total: int, weights: Sequence[int]) -> list[int]:
    """``total`` in proportion to ``weights``, which are above zero; each part is a whole number."""
    whole, given, parts = sum(weights), 0, []
    for reached in accumulate(weights):
        upto = total * reached // whole
        parts.append(upto - given)
        given = upto
    return parts


def split_usage(usage: Usage, weights: Sequence[int]) -> list[Usage]:
    """``usage`` in proportion to ``weights``, bucket by bucket."""
    buckets = (
        split(usage.input_tokens, weights),
        split(usage.output_tokens, weights),
        split(usage.cache_read_tokens, weights),
        split(usage.cache_write_tokens, weights),
        split(usage.reasoning_tokens, weights),
    )
    return [Usage(*parts) for parts in zip(*buckets, strict=True)]
