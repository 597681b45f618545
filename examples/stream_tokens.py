"""One answer as it comes, word by word; the last chunk holds the whole response."""

from __future__ import annotations

import argparse

from headrace import LLMClient
from headrace.core.chunks import EndChunk, TextChunk
from headrace.testing import FakeServer


def main() -> None:
    """Ask the model that was named, or a fake one on this machine."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help='such as "openai/gpt-4.1-mini" or "local/smollm2"')
    model = parser.parse_args().model
    with (
        FakeServer.in_thread() as server,
        LLMClient(model or "openai/fake", base_url=None if model else server.base_url) as client,
    ):
        for chunk in client.stream_tokens_sync("Why do rivers bend?", on_break="restart"):
            match chunk:
                case TextChunk(text):
                    print(text, end="", flush=True)
                case EndChunk(response):
                    print(f"\n{response.usage}, {response.finish_reason}")


if __name__ == "__main__":
    main()
