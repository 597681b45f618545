"""Answers of a given shape: checked here, asked again where they do not fit, and typed."""

from __future__ import annotations

import argparse

from pydantic import BaseModel

from headrace import LLMClient
from headrace.testing import FakeServer

PROMPTS = ["Describe the Rhine.", "Describe the Elbe."]


class River(BaseModel):
    """What is asked for."""

    name: str
    length_km: int


def describe(prompt: str) -> str:
    """What the fake model says."""
    name = prompt.rsplit(maxsplit=1)[-1].rstrip(".")
    return River(name=name, length_km=1_233).model_dump_json()


def main() -> None:
    """Ask the model that was named, or a fake one on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help='such as "openai/gpt-4.1-mini" or "local/smollm2"')
    model = parser.parse_args().model
    with (
        FakeServer.in_thread(answer=describe) as server,
        LLMClient(model or "openai/fake", base_url=None if model else server.base_url) as client,
    ):
        for response in client.process_prompts_sync(PROMPTS, output_schema=River):
            if response.parsed is None:
                print(response.id, response.error)
            else:
                print(response.parsed.name, "is", response.parsed.length_km, "km long")


if __name__ == "__main__":
    main()
