"""Tokens before the send: bytes, messages and images, and a bound on the output."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.conversation import Conversation, Message
from headrace.core.media import Image
from headrace.core.parts import Text
from headrace.policy.reservation import PER_IMAGE, PER_MESSAGE, input_tokens, output_tokens


@given(st.text(st.characters(exclude_categories=["Cs"]), min_size=1))
def test_a_text_counts_a_token_for_four_bytes_begun(text: str) -> None:
    size = len(text.encode())
    tokens = input_tokens(Conversation.of(text)) - PER_MESSAGE
    assert 4 * (tokens - 1) < size <= 4 * tokens


def test_messages_and_images_count() -> None:
    image = Image.from_url("https://example.test/a.png")
    prompt = Conversation.of([Message.system("1234"), Message.user("12345678", image, image)])
    assert input_tokens(prompt) == 2 * PER_MESSAGE + 1 + 2 + 2 * PER_IMAGE
    assert input_tokens(Conversation.of([Message.user([Text("a"), Text("b")])])) == PER_MESSAGE + 2


@pytest.mark.parametrize(
    ("declared", "maximum", "tokens"),
    [(16, None, 16), (16, 8, 16), (99_999, 8, 99_999), (None, 512, 512), (None, None, 1_024)],
)
def test_the_bound_on_output(declared: int | None, maximum: int | None, tokens: int) -> None:
    assert output_tokens(declared, maximum) == tokens


def test_a_large_models_maximum_is_not_reserved() -> None:
    assert output_tokens(None, 200_000) == 1_024
