"""A source larger than memory: prompts are drawn, and responses handed out, one by one."""

from __future__ import annotations

import argparse
import asyncio
from typing import TYPE_CHECKING

from headrace import LLMClient, SamplingParams
from headrace.testing import FakeServer

if TYPE_CHECKING:
    from collections.abc import Iterator


def prompts(count: int) -> Iterator[str]:
    """Prompts that are made when they are asked for; a file or a database would do as well."""
    for number in range(count):
        yield f"Is {number} a prime number?"


async def main(model: str | None, count: int) -> None:
    """Ask the model that was named, or a fake one on this machine."""
    words = 0
    with FakeServer.in_thread(keep=0) as server:
        client = LLMClient(model or "openai/fake", base_url=None if model else server.base_url)
        brief = SamplingParams(max_tokens=20)
        async with client, client.process_stream(prompts(count), sampling_params=brief) as stream:
            async for response in stream:
                words += len((response.completion or "").split())
        print(words, "words in", count, "answers")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help='such as "openai/gpt-4.1-mini" or "local/smollm2"')
    parser.add_argument("--count", type=int, default=2_000)
    asyncio.run(main(**vars(parser.parse_args())))
