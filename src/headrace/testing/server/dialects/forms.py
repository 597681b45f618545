"""What is no conversation, in the form of each vendor: what reads a request knows its answer.

Keys, errors and limits are those of the vendor's chat API; what is answered is the form's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import orjson

from headrace.testing.server.dialects.base import Asked, Dialect, Said

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from headrace.testing.seen import Answer, Headers
    from headrace.testing.windows import Level


class Form(NamedTuple):
    """One form: the field by which its bodies are known, and how one is read, with its path."""

    field: str
    read: Callable[[dict[str, Any], str], Asked]


class Formed(Dialect):
    """An API in some forms, beside chat in that of ``home`` where it ``chats`` at the same path."""

    def __init__(self, home: Dialect, *forms: Form, chats: bool = False) -> None:
        self.name = home.name  # type: ignore[misc]  # of an instance: the class stands for many
        self._home = home
        self._forms = forms
        self._chats = chats

    def read(self, body: bytes, target: str) -> Asked:
        """Read a request; raises ``ValueError`` with what is wrong."""
        data = object_of(body)
        form = next((form for form in self._forms if form.field in data), None)
        if form is not None:
            return form.read(data, target)
        if self._chats:
            return self._home.read(body, target)
        msg = f"{self._forms[0].field}: it is required"
        raise ValueError(msg)

    def answer(self, asked: Asked, said: Said, n: int) -> dict[str, object]:
        """What the form writes."""
        if asked.write is None:
            return self._home.answer(asked, said, n)
        return asked.write(asked, n)

    def error(self, status: int, message: str) -> dict[str, object]:
        """As the vendor writes it."""
        return self._home.error(status, message)

    def refusal(self, status: int, message: str | None = None, headers: Headers = ()) -> Answer:
        """As the vendor writes it."""
        return self._home.refusal(status, message, headers)

    def key(self, headers: Mapping[str, str]) -> str | None:
        """Where the vendor has it."""
        return self._home.key(headers)

    def charge(self, asked: Asked, said: Said) -> int:
        """What is asked alone, where nothing is said."""
        return self._home.charge(asked, said) if asked.write is None else asked.input_tokens

    def limit_headers(self, levels: Mapping[str, Level]) -> Headers:
        """By the vendor's names."""
        return self._home.limit_headers(levels)

    def hint_headers(self, seconds: float) -> Headers:
        """By the vendor's names."""
        return self._home.hint_headers(seconds)

    def account_headers(self, account: str) -> Headers:
        """By the vendor's names."""
        return self._home.account_headers(account)

    def bill_headers(self, asked: Asked) -> Headers:
        """By the vendor's names."""
        return self._home.bill_headers(asked)


def object_of(body: bytes) -> dict[str, Any]:
    """A body that is a JSON object; raises ``ValueError`` for another."""
    data = orjson.loads(body)
    if not isinstance(data, dict):
        msg = "the body has to be an object"
        raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
    return data


def named(data: dict[str, Any], target: str) -> str:
    """The model that a body names; raises ``ValueError`` where it names none."""
    del target
    model = data.get("model")
    if not isinstance(model, str):
        msg = "model: a name is required"
        raise ValueError(msg)  # noqa: TRY004 - what came is wrong, as its reader expects
    return model


def asked_of(
    model: str, texts: list[str], write: Callable[[Asked, int], dict[str, object]]
) -> Asked:
    """What is asked with ``texts``; ``write`` makes its answer."""
    words = sum(len(text.split()) for text in texts)
    return Asked(model, "\n".join(texts), words, None, inputs=tuple(texts), write=write)
