"""A stream of many pieces costs what its pieces cost, however they are put together."""

from __future__ import annotations

import json
import time
from typing import Any, Final

import pytest

from tests.wire.test_golden_streams import begun

pytestmark = [pytest.mark.once, pytest.mark.thorough]

Frame = dict[str, Any]


def _chat(delta: Frame, **more: object) -> Frame:
    return {"choices": [{"index": 0, "delta": delta, **more}]}


_TEXT: Final = "x" * 40
PIECES: Final[dict[str, tuple[str, Frame]]] = {
    "text": ("openai_chat", _chat({"content": _TEXT})),
    "thinking": ("openai_chat", _chat({"reasoning_content": _TEXT})),
    "log probabilities": ("openai_chat", _chat({}, logprobs={"content": [{"token": "x"}]})),
    "sound": ("openai_chat", _chat({"audio": {"data": _TEXT * 40}})),
    "details": (
        "openai_chat",
        _chat({"reasoning_details": [{"type": "reasoning.text", "text": _TEXT * 40, "index": 0}]}),
    ),
    "parts": ("openai_chat", _chat({"content": [{"type": "text", "text": _TEXT * 40}]})),
    "thoughts": ("openai_chat", _chat({"content": [{"type": "thinking", "thinking": _TEXT * 40}]})),
    "annotations": ("openai_chat", _chat({"annotations": [{"type": "a"}]})),
    "words of Gemini": ("gemini", {"candidates": [{"content": {"parts": [{"text": _TEXT}]}}]}),
    "its log probabilities": (
        "gemini",
        {"candidates": [{"logprobsResult": {"chosenCandidates": [{"token": "x"}]}}]},
    ),
}


@pytest.mark.parametrize("name", PIECES)
def test_the_work_is_linear_in_the_pieces(name: str) -> None:
    wire, piece = PIECES[name]
    data = json.dumps(piece).encode()

    def seconds(n: int) -> float:
        best = float("inf")
        for _ in range(2):
            fold = begun(wire, {})
            began = time.process_time()
            for _ in range(n):
                fold.feed("", data)
            best = min(best, time.process_time() - began)
        return best

    # Eight times the pieces: 8 where it is linear, up to 64 where it is not.
    assert seconds(16_000) < 24 * seconds(2_000) + 0.02
