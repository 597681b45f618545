"""What is known of prompts before they are sent: how many tokens they are, and what they cost."""

from __future__ import annotations

from dataclasses import dataclass

from headrace.core.model import dollars


@dataclass(frozen=True, slots=True)
class TokenCount:
    """How many tokens a prompt is; ``is_exact`` says whether a tokenizer counted or a rule."""

    tokens: int
    is_exact: bool


@dataclass(frozen=True, slots=True)
class Estimate:
    """What ``prompts`` prompts would cost; ``str()`` says it in a sentence.

    ``input_tokens`` are counted by a tokenizer where ``is_exact``, else by a rule.
    ``max_output_tokens`` is the bound that was given, None where an answer has none. Nano-dollars
    are None where a price, or for the maximum a bound, is unknown. ``remark`` says what to install
    where that would make a price known.
    """

    prompts: int
    input_tokens: int
    max_output_tokens: int | None
    input_nanos: int | None
    max_nanos: int | None
    is_exact: bool
    remark: str | None = None

    @property
    def input_cost(self) -> float | None:
        """USD for the input alone; None: unknown."""
        return None if self.input_nanos is None else self.input_nanos / 1e9

    @property
    def max_cost(self) -> float | None:
        """USD for the input and the longest output that is allowed; None: unknown or unbounded."""
        return None if self.max_nanos is None else self.max_nanos / 1e9

    def __add__(self, other: Estimate) -> Estimate:
        return Estimate(
            self.prompts + other.prompts,
            self.input_tokens + other.input_tokens,
            _sum(self.max_output_tokens, other.max_output_tokens),
            _sum(self.input_nanos, other.input_nanos),
            _sum(self.max_nanos, other.max_nanos),
            self.is_exact and other.is_exact,
            self.remark or other.remark,
        )

    def __str__(self) -> str:
        about = "" if self.is_exact else "about "
        price = "price unknown" if self.input_nanos is None else dollars(self.input_nanos)
        prompts = f"{self.prompts:,} prompt{'' if self.prompts == 1 else 's'}"
        said = [f"{prompts}, {about}{self.input_tokens:,} input tokens, {price}."]
        if self.max_output_tokens is None:
            said.append("The output has no bound; set max_tokens.")
        else:
            most = "" if self.max_nanos is None else f", {dollars(self.max_nanos)} in all"
            said.append(f"At most {self.max_output_tokens:,} output tokens{most}.")
        return " ".join([*said, self.remark] if self.remark else said)


NOTHING_ASKED = Estimate(0, 0, 0, 0, 0, is_exact=True)


def _sum(one: int | None, other: int | None) -> int | None:
    return None if one is None or other is None else one + other
