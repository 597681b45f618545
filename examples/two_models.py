"""Two models with weights: which one answers follows from the prompt, so a rerun asks the same."""

from __future__ import annotations

import argparse
from collections import Counter
from decimal import Decimal

from headrace import LLMClient, Model, Price
from headrace.testing import FakeServer

PROMPTS = [f"Name river number {number}." for number in range(200)]
SMALL = Model(id="openai/small", price=Price(input=Decimal("0.40"), output=Decimal("1.60")))
LARGE = Model(id="openai/large", price=Price(input=Decimal("2.00"), output=Decimal("8.00")))


def main() -> None:
    """Ask the two models that were named, or two fake ones on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", nargs=2, help="two models, such as openai/… anthropic/…")
    models = parser.parse_args().model
    with FakeServer.in_thread() as server:
        client = LLMClient(
            models or [SMALL, LARGE],
            model_weights=[3, 1],
            base_url=None if models else server.base_url,
        )
        responses = client.process_prompts_sync(PROMPTS)
        for route, count in Counter(response.route for response in responses).items():
            print(route, "answered", count)
        if client.last_run is not None:
            print(client.last_run.summary)
        client.close()


if __name__ == "__main__":
    main()
