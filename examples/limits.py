"""Limits: so many requests a minute, spread evenly, and a server that still asks for quiet."""

from __future__ import annotations

import argparse

from headrace import LLMClient, events
from headrace.testing import FakeServer, faults, plans

PROMPTS = [f"Name river number {number}." for number in range(30)]


def listen(event: events.Event) -> None:
    """Say what happens between the answers."""
    if isinstance(event, events.RouteParked):
        print(f"{event.route} asks for {event.seconds:.2f} s of quiet")
    elif isinstance(event, events.AttemptFailed):
        print(f"row {event.id}: {event.error.code}")


def main() -> None:
    """Ask the model that was named, or a fake one on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help='such as "openai/gpt-4.1-mini" or "local/smollm2"')
    model = parser.parse_args().model
    trouble = plans.Random(1, {faults.limited(0.2): 0.1})
    with FakeServer.in_thread(faults=trouble) as server:
        place = None if model else server.base_url
        client = LLMClient(model or "openai/fake", base_url=place, max_requests_per_minute=1_200)
        client.add_listener(listen)
        responses = client.process_prompts_sync(PROMPTS)
        print(len(responses.succeeded), "of", len(responses), "answered")
        client.close()


if __name__ == "__main__":
    main()
