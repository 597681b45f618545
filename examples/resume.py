"""A run that ends half-way goes on from its journal; what was answered is not asked again."""

from __future__ import annotations

import argparse
import asyncio
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from headrace import LLMClient
from headrace.testing import FakeServer

PROMPTS = [f"Name river number {number}." for number in range(40)]


async def main(model: str | None) -> None:
    """Ask the model that was named, or a fake one on this machine."""
    with FakeServer.in_thread(latency=0.02) as server, TemporaryDirectory() as folder:
        journal = Path(folder, "run.journal")
        place = None if model else server.base_url
        async with LLMClient(model or "openai/fake", base_url=place) as client:
            async with client.process_stream(PROMPTS, journal=journal) as responses:
                for _ in range(10):
                    await anext(responses)
            print("the first run was left after 10 answers")
            again = await client.process_prompts_async(PROMPTS, journal=journal)
            print(Counter(response.source for response in again))
            print(client.last_run.summary if client.last_run else "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help='such as "openai/gpt-4.1-mini" or "local/smollm2"')
    asyncio.run(main(**vars(parser.parse_args())))
