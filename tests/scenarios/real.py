"""The real local model behind endpoints of each dialect of llama.cpp, and what it is asked.

llama.cpp holds the arguments of a tool to their schema in each of them; it holds a whole answer to
a schema in OpenAI Chat alone, so that the others are asked for it by a tool (``structured``).
"""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Final, Literal

import pytest
from pydantic import BaseModel

from headrace import Endpoint, LLMClient, SamplingParams, register_endpoint, unregister_endpoint
from headrace.adapters.local import shared

if TYPE_CHECKING:
    from collections.abc import Iterator

HAS_MODEL: Final = importlib.util.find_spec("xllamacpp") is not None
needs_model = [
    pytest.mark.real,
    # The first start may fetch the weights.
    pytest.mark.timeout(300),
    pytest.mark.skipif(not HAS_MODEL, reason="xllamacpp is not installed (extra: local)"),
]
STEADY: Final = SamplingParams(max_tokens=40, temperature=0)
OF_ADA: Final = "Ada is 36 years old."
OF_PARIS: Final = "What is the weather in Paris?"


class Person(BaseModel):
    """What an answer is to be."""

    name: str
    age: int


ADA: Final = Person(name="Ada", age=36)


def weather(city: str) -> str:
    """Tells the weather of a city."""
    return f"It is sunny in {city}."


def client_of(wire: str, structured: Literal["native", "tool"]) -> Iterator[LLMClient]:
    """A client of the real model, asked in ``wire``; for a fixture."""
    server = shared()
    url = server.anthropic_url if wire == "anthropic" else server.base_url
    name = f"box-{wire}"
    row = Endpoint(name=name, wire=wire, base_url=url, needs_key=False, structured=structured)
    register_endpoint(row)
    try:
        with LLMClient(f"{name}/smollm2", sampling_params=STEADY, max_attempts=1) as made:
            yield made
    finally:
        unregister_endpoint(name)
