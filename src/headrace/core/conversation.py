"""What is asked: a conversation of messages, each a text or a tuple of parts. All frozen.

A plain string, ``Message.user(string)`` and ``[{"role": "user", "content": string}]`` are the same
prompt and have the same fingerprint: a message whose only part is text is kept as that text.
A string from a data row is never opened as a local file.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import reprlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final, Literal, Never, TypeAlias, TypeGuard, cast

from headrace.core import fingerprint
from headrace.core.errors import BadRowError

Role: TypeAlias = Literal["system", "user", "assistant"]
ROLES: Final[dict[str, Role]] = {
    "system": "system",
    "developer": "system",
    "user": "user",
    "assistant": "assistant",
}
MEDIA_TYPES: Final = frozenset({"image/png", "image/jpeg", "image/gif", "image/webp"})
MAX_IMAGE_BYTES: Final = 20 * 1024 * 1024
_SHOWN: Final = 60
_NOT_YET: Final = ("tool_calls", "function_call", "name")
_MAGIC: Final = (
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
)


@dataclass(frozen=True, slots=True)
class Text:
    """A piece of text beside other parts."""

    text: str

    def __post_init__(self) -> None:
        """Refuse what is not Unicode."""
        object.__setattr__(self, "text", _plain(self.text))


@dataclass(frozen=True, slots=True)
class Image:
    """An image, as bytes with their media type or as a URL that the provider fetches.

    ``detail`` is how closely OpenAI's models look at it ("low", "high"), which decides its price.
    """

    data: bytes | None = field(default=None, repr=False)
    media_type: str | None = None
    url: str | None = None
    detail: str | None = None

    def __post_init__(self) -> None:
        """Refuse what no provider could be given."""
        if (self.data is None) == (self.url is None):
            msg = "an image needs either data or a url; make it with from_bytes or from_url"
            raise BadRowError(msg)
        if self.data is not None:
            _check_image(self.data, self.media_type)
        if self.url is not None:
            _check_url(self.url)
        if self.detail is not None:
            _plain(self.detail)

    @classmethod
    def from_bytes(cls, data: bytes, media_type: str | None = None) -> Image:
        """An image from memory; the media type is read from its first bytes when not given."""
        return cls(data=_bytes(data), media_type=media_type or _sniff(data))

    @classmethod
    def from_url(cls, url: str) -> Image:
        """An image by http(s) URL, or decoded from a ``data:`` URI. Nothing is fetched here."""
        return cls._from_data_uri(url) if str(url).startswith("data:") else cls(url=url)

    @classmethod
    def _from_data_uri(cls, url: str) -> Image:
        head, _, payload = url[5:].partition(",")
        media_type, _, encoding = head.partition(";")
        if encoding != "base64":
            msg = "a data: URI of an image must be base64 (data:image/png;base64,…)"
            raise BadRowError(msg)
        try:
            data = base64.b64decode(payload, validate=True)
        except (binascii.Error, ValueError):
            msg = "the base64 of a data: URI cannot be decoded"
            raise BadRowError(msg) from None
        return cls.from_bytes(data, media_type)


Part: TypeAlias = Text | Image


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call that the model asks for; ``arguments`` is the raw JSON text, as it came."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class Message:
    """One turn: who speaks, and a text or several parts."""

    role: Role
    content: str | tuple[Part, ...]

    def __post_init__(self) -> None:
        """Check the role and the parts, and keep a lone text part as plain text."""
        role, content = _role(self.role), self.content
        if role is not self.role:
            object.__setattr__(self, "role", role)
        if type(content) is str and content.isascii():
            return
        if isinstance(content, str):
            plain: str | tuple[Part, ...] = _plain(content)
        else:
            plain = _parts_of(content, role)
            if len(plain) == 1 and isinstance(plain[0], Text):
                plain = plain[0].text
        object.__setattr__(self, "content", plain)

    @classmethod
    def system(cls, text: str) -> Message:
        """Instructions to the model."""
        return cls("system", text)

    @classmethod
    def user(cls, content: str | Sequence[Part], *images: Image) -> Message:
        """What the user says, with images after it if there are any."""
        return cls("user", _with_images(content, images))

    @classmethod
    def assistant(cls, text: str) -> Message:
        """What the model said before."""
        return cls("assistant", text)

    @classmethod
    def from_dict(cls, data: object) -> Message:
        """Read a ``{"role", "content"}`` dict in OpenAI's or Anthropic's style."""
        if not isinstance(data, Mapping):
            msg = f'a message must be an object with "role" and "content", not {_kind(data)}'
            raise BadRowError(msg)
        role, content = _role(data.get("role")), data.get("content")
        for name in _NOT_YET:
            if data.get(name):
                msg = f"a message with {name} cannot be sent yet; leave {name} out"
                raise BadRowError(msg)
        return cls(role, cast("str | tuple[Part, ...]", content))

    @property
    def text(self) -> str:
        """All text of the message, without what is not text."""
        if isinstance(self.content, str):
            return self.content
        return "".join(part.text for part in self.content if isinstance(part, Text))

    @property
    def parts(self) -> tuple[Part, ...]:
        """The content as parts, whatever its form."""
        return (Text(self.content),) if isinstance(self.content, str) else self.content


@dataclass(frozen=True, slots=True)
class Conversation:
    """An immutable sequence of messages; each builder returns a new conversation."""

    messages: tuple[Message, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what is for ``from_messages`` to read."""
        if type(self.messages) is not tuple:
            object.__setattr__(self, "messages", _several(self.messages))
        for message in self.messages:
            if not isinstance(message, Message):
                msg = "a Conversation holds Message objects; use Conversation.from_messages()"
                raise BadRowError(msg)

    def system(self, text: str) -> Conversation:
        """Add instructions."""
        return Conversation((*self.messages, Message("system", text)))

    def user(self, content: str | Sequence[Part], *images: Image) -> Conversation:
        """Add a turn of the user, with images after the text if there are any."""
        return Conversation((*self.messages, Message("user", _with_images(content, images))))

    def assistant(self, text: str) -> Conversation:
        """Add a turn of the model."""
        return Conversation((*self.messages, Message("assistant", text)))

    @classmethod
    def from_messages(cls, messages: Sequence[object]) -> Conversation:
        """Read a list of ``{"role", "content"}`` dicts, with or without ``Message`` objects."""
        several = _several(messages)
        return cls(tuple(m if isinstance(m, Message) else Message.from_dict(m) for m in several))

    @classmethod
    def of(cls, prompt: object) -> Conversation:
        """Any accepted form of a prompt as a conversation.

        Raises ``BadRowError`` with what was wrong for everything else, empty prompts included.
        """
        if isinstance(prompt, str):
            return cls((Message("user", prompt),)) if prompt else _refuse_empty()
        if isinstance(prompt, Conversation):
            # The usual case of one that was read before, and costs nothing.
            told = prompt.messages and prompt.messages[0].content
            return prompt if told else _unless_empty(prompt)
        if isinstance(prompt, Message):
            return _unless_empty(cls((prompt,)))
        if isinstance(prompt, list | tuple):
            return _unless_empty(cls.from_messages(prompt))
        msg = (
            "a prompt must be a string, a Conversation, a Message or a list of"
            f' {{"role", "content"}} dicts, not {_kind(prompt)}'
        )
        raise BadRowError(msg)

    def canonical(self) -> list[object]:
        """The semantic form that keys are made of: media by digest and type, URLs by URL."""
        return [[m.role, _canonical_content(m.content)] for m in self.messages]

    @property
    def fingerprint(self) -> str:
        """32 hex digits that are equal for equal prompts (a 128-bit hash of the semantic form)."""
        return fingerprint.of_conversation(self.canonical())


def brief(text: str | None) -> str | None:
    """``text`` as it is shown in passing."""
    return text if text is None or len(text) <= _SHOWN else f"{text[:_SHOWN]}..."


Prompt: TypeAlias = str | Conversation | Message | Sequence[Mapping[str, object]]


def _canonical_content(content: str | tuple[Part, ...]) -> object:
    if isinstance(content, str):
        return content
    return [_canonical_part(part) for part in content]


def _canonical_part(part: Part) -> list[str]:
    if isinstance(part, Text):
        return ["text", part.text]
    detail = () if part.detail is None else (part.detail,)
    if part.data is None:
        return ["image_url", part.url or "", *detail]
    return ["image", hashlib.sha256(part.data).hexdigest(), part.media_type or "", *detail]


def _part_from(item: object) -> Part:
    if isinstance(item, Text | Image):
        return item
    if not isinstance(item, Mapping):
        msg = f"a part of a message must be an object with a type, not {_kind(item)}"
        raise BadRowError(msg)
    match item.get("type"):
        case "text":
            return Text(cast("str", item.get("text")))
        case "image_url":
            return _openai_image(item.get("image_url"))
        case "image":
            return _anthropic_image(item.get("source"))
        case other:
            msg = f"a part of type {reprlib.repr(other)} cannot be read; text and images can"
            raise BadRowError(msg)


def _openai_image(value: object) -> Image:
    given = value if isinstance(value, Mapping) else {"url": value}
    url, detail = given.get("url"), given.get("detail")
    if not isinstance(url, str):
        msg = 'an image_url part needs {"url": "https://… or data:image/…"}'
        raise BadRowError(msg)
    image = Image.from_url(url)
    return image if detail is None else replace(image, detail=cast("str", detail))


def _anthropic_image(source: object) -> Image:
    given = source if isinstance(source, Mapping) else {}
    kind, url, data = given.get("type"), given.get("url"), given.get("data")
    if kind == "url" and isinstance(url, str):
        return Image.from_url(url)
    if kind == "base64" and isinstance(data, str):
        return Image.from_url(f"data:{given.get('media_type')};base64,{data}")
    msg = "the source of an image part must be of type base64 with data, or url with a url"
    raise BadRowError(msg)


def _with_images(
    content: str | Sequence[Part], images: tuple[Image, ...]
) -> str | tuple[Part, ...]:
    if isinstance(content, str):
        return (Text(content), *images) if images else content
    return (*content, *images) if _is_list(content) else cast("str", content)


def _sniff(data: bytes) -> str | None:
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for magic, kind in _MAGIC if data.startswith(magic)), None)


def _bytes(data: object) -> bytes:
    if not isinstance(data, bytes):
        msg = f"the data of an image must be bytes, not {_kind(data)}; read the file first"
        raise BadRowError(msg)
    return data


def _check_image(data: bytes, media_type: str | None) -> None:
    is_known = isinstance(media_type, str) and media_type in MEDIA_TYPES
    if not _bytes(data) or len(data) > MAX_IMAGE_BYTES or not is_known:
        kind = reprlib.repr(media_type) if media_type else "of unknown type"
        msg = (
            f"an image must be PNG, JPEG, GIF or WebP of 1 byte to {MAX_IMAGE_BYTES >> 20} MiB;"
            f" this one is {kind} with {len(data)} bytes"
        )
        raise BadRowError(msg)


def _check_url(url: object) -> None:
    if not isinstance(url, str) or not _plain(url).startswith(("https://", "http://")):
        msg = (
            "an image URL must be a string that begins with https://, http:// or data:;"
            " it is never opened as a local file"
        )
        raise BadRowError(msg)


def _several(messages: object) -> tuple[object, ...]:
    if not isinstance(messages, Iterable) or isinstance(messages, str | bytes | Mapping):
        msg = f"a conversation is a list of messages, not {_kind(messages)}"
        raise BadRowError(msg)
    return tuple(messages)


def _is_list(content: object) -> TypeGuard[Sequence[object]]:
    return isinstance(content, Sequence) and not isinstance(content, str | bytes | bytearray)


def _parts_of(content: object, role: Role) -> tuple[Part, ...]:
    if not _is_list(content) or not content:
        msg = f"the content of a {role} message must be text or a list of parts, not "
        raise BadRowError(msg + ("an empty list" if content == [] else _kind(content)))
    return tuple(_part_from(part) for part in content)


def _plain(text: object) -> str:
    """``text`` as a plain string (not of a class of its own), if it is Unicode."""
    if not isinstance(text, str):
        msg = f"the text of a part must be a string, not {_kind(text)}"
        raise BadRowError(msg)
    plain = str.__str__(text)
    try:
        plain.isascii() or plain.encode()
    except UnicodeEncodeError:
        msg = (
            "the text holds a lone surrogate, which is not Unicode and cannot be sent;"
            " mend or drop the character"
        )
        raise BadRowError(msg) from None
    return plain


def _unless_empty(prompt: Conversation) -> Conversation:
    return prompt if any(message.content for message in prompt.messages) else _refuse_empty()


def _refuse_empty() -> Never:
    msg = "the prompt is empty; give it some text"
    raise BadRowError(msg)


def _role(role: object) -> Role:
    known = ROLES.get(role) if isinstance(role, str) else None
    if known is None:
        msg = f"the role of a message must be system, user or assistant, not {reprlib.repr(role)}"
        raise BadRowError(msg)
    return known


def _kind(value: object) -> str:
    return "nothing" if value is None else type(value).__name__
