"""Whatever frames come, they fold into an answer or end in a typed error."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.core.errors import ProviderError
from tests.wire.golden import GOLDEN
from tests.wire.test_any_input import ODD, paths, replaced
from tests.wire.test_golden_streams import STREAMED, answered

if TYPE_CHECKING:
    from headrace.core.chunks import Chunk

pytestmark = [pytest.mark.once, pytest.mark.thorough]

Frames = list[list[Any]]
FRAMES: Final[dict[str, list[Frames]]] = {
    wire: [
        case["frames"]
        for case in json.loads((GOLDEN / f"{wire}_streams.json").read_text(encoding="utf-8"))
        if case["frames"]
    ]
    for wire in STREAMED
}


def check_outcome(wire: str, frames: Frames) -> None:
    chunks: list[Chunk] = []
    try:
        answer = answered(wire, {}, frames, chunks)
    except ProviderError:
        return
    assert isinstance(answer.completion, str)


@pytest.mark.parametrize("wire", STREAMED)
@given(data=st.data())
def test_almost_any_frames(wire: str, data: st.DataObject) -> None:
    frames = data.draw(st.sampled_from(FRAMES[wire]))
    path = data.draw(st.sampled_from([path for path in paths(frames) if len(path) > 1]))
    changed: Any = replaced(frames, path, data.draw(ODD))
    check_outcome(wire, [[str(event), said] for event, said in changed])


@pytest.mark.parametrize("wire", STREAMED)
@given(data=st.data())
def test_any_order(wire: str, data: st.DataObject) -> None:
    frames = data.draw(st.sampled_from(FRAMES[wire]))
    check_outcome(wire, data.draw(st.permutations(frames)))


@pytest.mark.parametrize("wire", STREAMED)
@pytest.mark.parametrize("depth", [300, 2_000])
def test_any_depth(wire: str, depth: int) -> None:
    deep = json.dumps("deep"), "[" * depth + "]" * depth
    for frames in FRAMES[wire]:
        for event, said in frames:
            for path in paths(said) if isinstance(said, dict) else ():
                text = json.dumps(replaced(said, path, "deep"))
                check_outcome(wire, [[event, text.replace(*deep)], *frames])
