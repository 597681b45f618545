"""What one call takes beside its prompts.

``output_schema`` stands apart from the others, so that a verb's type can follow from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypedDict

if TYPE_CHECKING:
    import os
    from collections.abc import Sequence

    from headrace.config import Models, OnResponse
    from headrace.core.params import SamplingParams


class PlainOptions(TypedDict, total=False):
    """What one call lays over the client's settings.

    ``model`` replaces the client's models, ``sampling_params`` overlay its own, ``deadline`` bounds
    each request's whole life in seconds. ``spill``: a request leaves a drawn model that has no room
    for one that has. ``tools`` are what the model may call: functions, types,
    ``Tool``, ``VendorTool``, or dicts.
    """

    sampling_params: SamplingParams | None
    model: Models | None
    deadline: float | None
    spill: bool | None
    tools: Sequence[Any] | None


class AskOptions(PlainOptions, total=False):
    """``PlainOptions``, and what each answer has to look like.

    ``output_schema`` is a pydantic model, a dataclass, a TypedDict, another type or a JSON schema;
    the value of it is the response's ``parsed``, and an answer that does not fit is asked again.
    """

    output_schema: Any


class PlainRunOptions(PlainOptions, total=False):
    """Options of a call with many prompts, beside those of ``PlainOptions``.

    ``on_response`` is called once for each finished row, in completion order, and may be async; an
    error in it is logged and costs no row. With ``journal``, a path, what is answered is on disk
    before it is handed out and is never sent again. ``show_progress`` draws a bar.
    """

    show_progress: bool
    on_response: OnResponse | None
    journal: str | os.PathLike[str] | None


class RunOptions(PlainRunOptions, AskOptions, total=False):
    """``PlainRunOptions`` with an ``output_schema``; see ``AskOptions``."""


class PlainLoopOptions(PlainOptions, total=False):
    """Options of ``run_tool_loop``, beside those of ``PlainOptions``, which hold for each round.

    ``max_rounds`` bounds the requests, 10 if not given. With ``journal``, a path, what is answered
    and what tools gave is on disk, and a loop that was killed goes on from there. ``on_round`` is
    called with each response and may be async. ``raise_errors``: what a tool raises is raised.
    """

    max_rounds: int
    journal: str | os.PathLike[str] | None
    on_round: OnResponse | None
    raise_errors: bool


class LoopOptions(PlainLoopOptions, AskOptions, total=False):
    """``PlainLoopOptions`` with an ``output_schema``; see ``AskOptions``."""
