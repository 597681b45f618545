"""A function that the model may call: it is called, the model is told, and asked again."""

from __future__ import annotations

import argparse

from headrace import LLMClient, ToolCall
from headrace.providers.catalog import Catalog
from headrace.testing import Answer, Script, scripted


def weather(city: str) -> str:
    """Tell the weather of a city.

    Args:
        city: The name of the city.
    """
    return f"It has 4 degrees in {city}."


def pretended() -> LLMClient:
    """A client whose model says what is written here."""
    asks = Answer("", tool_calls=(ToolCall("1", "weather", '{"city": "Oslo"}'),))
    catalog = Catalog({"openai_chat": scripted(Script([asks, "Take a coat: it has 4 degrees."]))})
    return LLMClient("openai/fake", base_url="http://127.0.0.1:1/v1", catalog=catalog)


def main() -> None:
    """Ask the model that was named, or a pretended one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", help='such as "openai/gpt-4.1-mini"')
    model = parser.parse_args().model
    with LLMClient(model) if model else pretended() as client:
        run = client.run_tool_loop_sync("Do I need a coat in Oslo?", tools=[weather], max_rounds=5)
        for response in run.rounds:
            for call in response.tool_calls:
                print("asked for", call.name, call.arguments)
        print(run.response.error or run.response.completion)


if __name__ == "__main__":
    main()
