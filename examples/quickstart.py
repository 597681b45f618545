"""Some prompts, one response for each, in order; a bad prompt costs nothing but its own row."""

from __future__ import annotations

import argparse

from headrace import LLMClient
from headrace.testing import FakeServer

PROMPTS = ["Name a river.", "Name a mountain.", "", "Name a sea."]


def main() -> None:
    """Ask the model that was named, or a fake one on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help='such as "openai/gpt-4.1-mini" or "local/smollm2"')
    model = parser.parse_args().model
    with FakeServer.in_thread() as server:
        client = LLMClient(model or "openai/fake", base_url=None if model else server.base_url)
        responses = client.process_prompts_sync(PROMPTS)
        for response in responses:
            print(response.id, response.error or response.completion)
        print(len(responses.succeeded), "answered,", len(responses.failed), "failed")
        client.close()


if __name__ == "__main__":
    main()
