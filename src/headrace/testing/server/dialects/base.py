"""What every API of the fake server can do, whatever its shapes. A token is a word here."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, ClassVar, Final, NamedTuple

import orjson

from headrace.testing.seen import Answer, DialectName, Headers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from headrace.testing.windows import Level

SERVER_ERROR: Final = 500
MESSAGES: Final = {
    400: "The request body could not be read.",
    401: "The API key is missing or wrong.",
    403: "This key has no permission for that.",
    404: "There is nothing at this path.",
    429: "Rate limit reached; please slow down.",
    529: "Overloaded",
}


class Asked(NamedTuple):
    """What matters of a request. Tokens are words, ``max_tokens`` None when not given.

    ``with_usage`` is asked of OpenAI's chat streams, which do not tell it otherwise. ``inputs`` are
    the texts of what is no conversation; ``write`` makes its answer, in the form that it came in.
    """

    model: str
    prompt: str
    input_tokens: int
    max_tokens: int | None
    stream: bool = False
    with_usage: bool = False
    inputs: tuple[str, ...] = ()
    write: Callable[[Asked, int], dict[str, object]] | None = None


class Said(NamedTuple):
    """An answer's text, whether ``max_tokens`` cut it, and its words."""

    text: str
    is_cut: bool
    output_tokens: int


class Dialect(ABC):
    """One API."""

    name: ClassVar[DialectName]
    bound_names: ClassVar[tuple[str, ...]] = ("max_tokens",)

    messages_name: ClassVar[str] = "messages"

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request to that path and query; raises ``ValueError`` with what is wrong."""
        del target
        data = orjson.loads(body)
        messages = data.get(self.messages_name) if isinstance(data, dict) else None
        if not isinstance(messages, list) or not all(isinstance(m, dict) for m in messages):
            msg = f"{self.messages_name}: a list of message objects is required"
            raise ValueError(msg)
        model = data.get("model")
        stream, options = data.get("stream") or False, data.get("stream_options")
        if not isinstance(model, str) or stream not in (True, False):
            msg = "model: a name is required, and stream must be true or false"
            raise ValueError(msg)
        if options is not None and not (stream and isinstance(options, dict)):
            msg = "stream_options: an object, allowed only when stream is true"
            raise ValueError(msg)
        prompt, words = measure(messages)
        words += len(words_of(data.get("system")).split())
        with_usage = bool(options and options.get("include_usage"))
        return Asked(model, prompt, words, self._bound(data), stream, with_usage)

    def _bound(self, data: Mapping[str, object]) -> int | None:
        for name in self.bound_names:
            if isinstance(bound := data.get(name), int):
                return bound
        return None

    @abstractmethod
    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """The body of a good answer; ``n`` makes its id."""

    def sound(self, asked: Asked) -> bytes | None:
        """The answer where it is no JSON."""
        del asked
        return None

    @abstractmethod
    def error(self, status: int, message: str) -> dict[str, object]:
        """The body of an error."""

    @abstractmethod
    def key(self, headers: Mapping[str, str]) -> str | None:
        """The API key in the headers."""

    @abstractmethod
    def charge(self, asked: Asked, said: Said) -> int:
        """The tokens that count against a limit, by the vendor's rule."""

    @abstractmethod
    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """What is left of the limits, by the vendor's names."""

    @abstractmethod
    def hint_headers(self, seconds: float) -> Headers:
        """How long to wait, by the vendor's names."""

    def account_headers(self, account: str) -> Headers:
        """Whose limits these are, where the vendor tells it."""
        del account
        return ()

    def bill_headers(self, asked: Asked) -> Headers:
        """What an answer was made of, where the vendor tells it there."""
        del asked
        return ()

    def refusal(self, status: int, message: str | None = None, headers: Headers = ()) -> Answer:
        """A whole error reply."""
        text = message or MESSAGES.get(status, "Something went wrong on this fake server.")
        return Answer(status, orjson.dumps(self.error(status, text)), headers)


def say(text: str, max_tokens: int | None) -> Said:
    """A text cut to so many words."""
    words = text.split()
    if max_tokens is None or len(words) <= max_tokens:
        return Said(text, is_cut=False, output_tokens=len(words))
    return Said(" ".join(words[:max_tokens]), is_cut=True, output_tokens=max_tokens)


def measure(messages: list[dict[str, object]]) -> tuple[str, int]:
    """The text of the last user message, and the words of all messages."""
    prompt, words = "", 0
    for message in messages:
        text = words_of(message.get("content"))
        words += len(text.split())
        if message.get("role") == "user":
            prompt = text
    return prompt, words


def words_of(content: object) -> str:
    """The text of a content, whatever its form."""
    if isinstance(content, str):
        return content
    return "".join(_texts(content)) if isinstance(content, list) else ""


def _texts(parts: list[object]) -> Iterator[str]:
    for part in parts:
        if isinstance(part, dict) and isinstance(text := part.get("text"), str):
            yield text
