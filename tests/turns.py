"""Turns of a model that calls tools, and what it is sent."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from headrace import LLMClient, RequestContext, ToolCall, ToolResult, ToolRun
from headrace.testing import Answer, Script
from tests.clients import check_nothing_is_held, virtual

if TYPE_CHECKING:
    from collections.abc import Sequence

    from headrace.config import Asked
    from headrace.core.model import Route
    from headrace.testing.provider import Outcome


def asking(*calls: tuple[str, str], kind: str = "function") -> Answer:
    """A turn that asks for these tools with these arguments."""
    asked = [ToolCall(f"c{n}", name, text, kind) for n, (name, text) in enumerate(calls)]
    return Answer("", tool_calls=tuple(asked), finish_reason="tool")


class Rounds:
    """A script of turns that keeps what was sent."""

    def __init__(self, *turns: Outcome) -> None:
        self.turns = turns
        self.asked: list[RequestContext] = []
        self.script = Script(self._turn)

    def _turn(self, context: RequestContext, route: Route, n: int) -> Outcome:
        del route
        self.asked.append(context)
        return self.turns[n]

    def results(self) -> tuple[ToolResult, ...]:
        """What the tools gave, as the model was told last."""
        last = self.asked[-1].conversation.messages[-1]
        return tuple(part for part in last.parts if isinstance(part, ToolResult))

    def run(
        self, tools: Sequence[object] | None, prompt: Asked = "2 + 3?", **options: Any
    ) -> ToolRun[Any]:
        async def main(client: LLMClient) -> ToolRun[Any]:
            found = await client.run_tool_loop(prompt, tools=tools, **options)
            check_nothing_is_held(client)
            return found

        return virtual(self.script, main)
