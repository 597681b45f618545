"""What is asked: every way to say the same is the same, and what is no prompt says why."""

from __future__ import annotations

import base64
import datetime as dt
import json
from decimal import Decimal
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from headrace.core.context import RequestContext
from headrace.core.conversation import Conversation, Message, Role
from headrace.core.errors import BadRowError
from headrace.core.media import Image
from headrace.core.parts import Part, Text

PNG = b"\x89PNG\r\n\x1a\n" + b"\0" * 8
texts = st.text(min_size=1).filter(lambda t: t.isascii() or not _has_surrogate(t))


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= c <= "\udfff" for c in text)


class Quoted(str):
    """What pandas and numpy hand out: a string of its own class."""

    __slots__ = ()


@given(texts)
def test_every_form_of_one_text_is_one_prompt(text: str) -> None:
    forms: list[object] = [
        text,
        Quoted(text),
        Message.user(text),
        Message("user", (Text(text),)),
        Conversation().user(text),
        Conversation((Message.user(text),)),
        [{"role": "user", "content": text}],
        ({"role": "user", "content": text},),
        [{"role": "user", "content": [{"type": "text", "text": text}]}],
        [Message.user([Text(text)])],
    ]
    prompts = [Conversation.of(form) for form in forms]
    assert all(prompt == prompts[0] for prompt in prompts)
    assert len({prompt.fingerprint for prompt in prompts}) == 1
    assert {type(prompt.messages[0].content) for prompt in prompts} == {str}


@given(st.lists(st.tuples(st.sampled_from(["system", "user", "assistant"]), texts), min_size=1))
def test_a_conversation_built_read_and_listed_is_the_same(turns: list[tuple[str, str]]) -> None:
    built = Conversation()
    for role, text in turns:
        built = getattr(built, role)(text)
    read = Conversation.of([{"role": role, "content": text} for role, text in turns])
    listed = Conversation.of([getattr(Message, role)(text) for role, text in turns])
    assert built == read == listed
    assert built.fingerprint == read.fingerprint == listed.fingerprint
    assert [m.text for m in built.messages] == [text for _, text in turns]


@given(texts, texts)
def test_different_texts_and_roles_are_different_prompts(one: str, other: str) -> None:
    seen = {Conversation.of(one).fingerprint, Conversation.of(other).fingerprint}
    assert len(seen) == (1 if one == other else 2)
    assert Conversation.of(Message.assistant(one)).fingerprint not in seen
    assert Conversation.of([Message.user(one), Message.user(other)]).fingerprint not in seen


def test_a_builder_leaves_what_it_builds_on_alone() -> None:
    base = Conversation().system("Be brief.")
    first, second = base.user("one"), base.user("two")
    assert len(base.messages) == 1
    assert (first.messages[1].text, second.messages[1].text) == ("one", "two")


def test_developer_is_another_word_for_system() -> None:
    read = Message.from_dict({"role": "developer", "content": "Be brief."})
    assert read == Message.system("Be brief.") == Message(cast("Role", "developer"), "Be brief.")
    assert read.role == "system"


def test_a_message_shows_its_text_and_its_parts() -> None:
    image = Image.from_url("https://example.test/a.png")
    message = Message.user("look", image)
    assert message.text == "look"
    assert message.parts == (Text("look"), image)
    assert Message.user("look").parts == (Text("look"),)
    assert Message.user([Text("look")], image) == message
    assert Message.user([Text("a"), image, Text("b")]).text == "ab"
    assert Conversation().user("look", image).messages == (message,)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "https://example.test/a.png"}},
        {"type": "image_url", "image_url": "https://example.test/a.png"},
        {"type": "image", "source": {"type": "url", "url": "https://example.test/a.png"}},
        Image(url="https://example.test/a.png"),
    ],
)
def test_an_image_by_url_reads_alike_in_both_dialects(part: object) -> None:
    read = Message.from_dict({"role": "user", "content": [part]})
    assert read.parts == (Image.from_url("https://example.test/a.png"),)


@pytest.mark.parametrize(
    "part",
    [
        {"type": "image_url", "image_url": {"url": "data:image/png;base64,%s"}},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "%s"}},
    ],
)
def test_an_image_by_data_reads_alike_in_both_dialects(part: dict[str, object]) -> None:
    text = base64.b64encode(PNG).decode()
    filled = json.loads(json.dumps(part).replace("%s", text))
    read = Message.from_dict({"role": "user", "content": [filled]})
    assert read.parts == (Image.from_bytes(PNG),)


class Row(BaseModel):
    """A pydantic object, which is no prompt."""

    prompt: str = "hi"


circular: list[object] = []
circular.append(circular)
deep: list[object] = []
for _ in range(5_000):
    deep = [deep]


def _said(content: object) -> list[object]:
    return [{"role": "user", "content": content}]


BAD: dict[str, tuple[object, str]] = {
    "empty": ("", "empty"),
    "no messages": ([], "empty"),
    "no messages in a tuple": ((), "empty"),
    "an empty conversation": (Conversation(), "empty"),
    "an empty message": (Message.user(""), "empty"),
    "an empty dict message": (_said(""), "empty"),
    "an empty turn in a Conversation": (Conversation().user(""), "empty"),
    "empty system and user": ([Message.system(""), Message.user("")], "empty"),
    "None": (None, "not nothing"),
    "a number": (5, "not int"),
    "NaN": (float("nan"), "not float"),
    "a Decimal": (Decimal(1), "not Decimal"),
    "a date": (dt.datetime(2026, 1, 1, tzinfo=dt.UTC), "not datetime"),
    "bytes": (b"hello", "not bytes"),
    "a dict": ({"role": "user", "content": "hi"}, "not dict"),
    "a generator": ((x for x in "ab"), "not generator"),
    "a set": ({"a"}, "not set"),
    "a pydantic object": (Row(), "not Row"),
    "a lone surrogate": ("a\ud800", "lone surrogate"),
    "a surrogate in a part": (_said([{"type": "text", "text": "\udfff"}]), "lone surrogate"),
    "strings as messages": (["hi"], "not str"),
    "None as a message": ([None], "not nothing"),
    "a pydantic message": ([Row()], "not Row"),
    "no role": ([{"content": "hi"}], "not None"),
    "a wrong role": ([{"role": "bot", "content": "hi"}], "not 'bot'"),
    "a tool result without its call": (
        [{"role": "tool", "content": "42", "tool_call_id": "x"}],
        "answers no call",
    ),
    "a tool result without an id": ([{"role": "tool", "content": "42"}], "tool_call_id"),
    "a role in capitals": ([{"role": "User", "content": "hi"}], "not 'User'"),
    "a role that is a list": (
        [{"role": ["user"], "content": "hi"}],
        "system, user, assistant or tool",
    ),
    "a circular role": ([{"role": circular, "content": "hi"}], "system, user, assistant or tool"),
    "a deep role": ([{"role": deep, "content": "hi"}], "system, user, assistant or tool"),
    "no content": ([{"role": "user"}], "not nothing"),
    "content None": (_said(None), "not nothing"),
    "content a number": (_said(5), "not int"),
    "content bytes": (_said(b"hi"), "not bytes"),
    "content a dict": (_said({"type": "text", "text": "hi"}), "not dict"),
    "content an empty list": (_said([]), "not an empty list"),
    "content a generator": (_said(x for x in "ab"), "not generator"),
    "circular content": (_said(circular), "must be an object"),
    "a part that is a string": (_said(["hi"]), "must be an object"),
    "a part that is nothing": (_said([None]), "must be an object"),
    "a part without type": (_said([{"text": "hi"}]), "type None"),
    "a part with a number key": (_said([{1: 2}]), "type None"),
    "a part of unknown type": (_said([{"type": "audio"}]), "type 'audio'"),
    "a part with a deep type": (_said([{"type": deep}]), "of type"),
    "a text part without text": (_said([{"type": "text"}]), "not nothing"),
    "a text part with a number": (_said([{"type": "text", "text": 5}]), "not int"),
    "a tool call without a name": (
        [{"role": "assistant", "content": "x", "tool_calls": [{"id": "1"}]}],
        "its name is missing",
    ),
    "tool calls that are no list": (
        [{"role": "assistant", "content": "x", "tool_calls": {"id": "1"}}],
        "must be a list",
    ),
    "arguments that are no JSON": (
        [
            {
                "role": "assistant",
                "tool_calls": [{"id": "1", "function": {"name": "f", "arguments": {"a": {1}}}}],
            }
        ],
        "cannot be written as JSON",
    ),
    "a call of the user's": (
        _said([{"type": "tool_use", "id": "1", "name": "f", "input": {}}]),
        "cannot hold a ToolCall",
    ),
    "an empty file": (
        _said([{"type": "file", "file": {"file_data": "data:application/pdf;base64,"}}]),
        "0 bytes",
    ),
    "audio without data": (_said([{"type": "input_audio", "input_audio": {}}]), "base64"),
    "a function call": (
        [{"role": "assistant", "content": "x", "function_call": {"name": "f"}}],
        "leave function_call out",
    ),
    "a name": ([{"role": "user", "content": "x", "name": 5}], "name of a message must be a text"),
    "a detail of a number": (
        _said([{"type": "image_url", "image_url": {"url": "https://a.test/", "detail": 5}}]),
        "not int",
    ),
    "an image without url": (_said([{"type": "image_url"}]), "image_url"),
    "an image url of a number": (_said([{"type": "image_url", "image_url": 5}]), "image_url"),
    "an image without source": (_said([{"type": "image"}]), "source"),
    "an image of an odd source": (
        _said([{"type": "image", "source": {"type": "ftp", "url": "x"}}]),
        "source",
    ),
    "an image source without data": (
        _said([{"type": "image", "source": {"type": "base64"}}]),
        "source",
    ),
    "a local file": (
        _said([{"type": "image_url", "image_url": {"url": "file:///etc/passwd"}}]),
        "local file",
    ),
    "a bare path": (
        _said([{"type": "image_url", "image_url": {"url": "/etc/passwd"}}]),
        "local file",
    ),
    "a URL with a surrogate": (
        _said([{"type": "image_url", "image_url": {"url": "https://a.test/\ud800"}}]),
        "lone surrogate",
    ),
    "data that is not base64": (
        _said([{"type": "image_url", "image_url": {"url": "data:image/png;base64,*"}}]),
        "cannot be decoded",
    ),
    "data beyond ASCII": (
        _said([{"type": "image_url", "image_url": {"url": "data:image/png;base64,é"}}]),
        "cannot be decoded",
    ),
    "data without base64": (
        _said([{"type": "image_url", "image_url": {"url": "data:image/png,xx"}}]),
        "must be base64",
    ),
    "data without image": (
        _said([{"type": "image_url", "image_url": {"url": "data:image/png;base64,"}}]),
        "0 bytes",
    ),
    "an image of a wrong type": (
        _said([{"type": "image_url", "image_url": {"url": "data:image/tiff;base64,AAAA"}}]),
        "'image/tiff'",
    ),
    "an image of no type": (
        _said([{"type": "image_url", "image_url": {"url": "data:;base64,AAAA"}}]),
        "of unknown type",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prompt_is_refused_with_a_sentence(name: str) -> None:
    prompt, words = BAD[name]
    with pytest.raises(BadRowError) as caught:
        _ = RequestContext(prompt=cast("str", prompt)).conversation
    said = str(caught.value)
    assert words in said
    assert len(said) < 250
    assert "\n" not in said


@pytest.mark.parametrize(
    "text",
    [
        " ",
        "\n\t",
        "a\0b",
        "\u202eright to left\u200d",
        "{not} a %s {0} format",
        "data: [DONE]\n\n",
        '"}],"model":"other"',
        "\x1b[31mred\x1b[0m",
        "line\nERROR forged",
        "\U0001f680",
    ],
)
def test_odd_texts_are_prompts_like_any_other(text: str) -> None:
    assert Conversation.of(text).messages == (Message.user(text),)


def test_a_role_from_far_away_is_quoted_in_short_and_on_one_line() -> None:
    with pytest.raises(BadRowError) as caught:
        Conversation.of([{"role": "x\n\x1b[31m" * 1_000_000, "content": "hi"}])
    assert len(str(caught.value)) < 200
    assert "\n" not in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_unusual_conversations_are_left_to_the_dialects() -> None:
    two = Conversation.of([Message.system("a"), Message.system("b"), Message.user("c")])
    assert len(two.messages) == 3
    last = Conversation.of([Message.user("a"), Message.assistant("b")])
    assert last.messages[-1].role == "assistant"


def test_ten_megabytes_are_a_prompt() -> None:
    assert len(Conversation.of("x" * 10_000_000).messages[0].text) == 10_000_000


@pytest.mark.parametrize("content", [5, None, b"hi", [], [5]])
def test_a_message_is_checked_however_it_is_made(content: object) -> None:
    wrong = cast("str", content)
    with pytest.raises(BadRowError):
        Message("user", wrong)
    with pytest.raises(BadRowError):
        Message.user(wrong)
    with pytest.raises(BadRowError, match="system, user, assistant or tool"):
        Message(cast("Role", content), "hi")


def test_a_conversation_holds_messages_and_says_how_dicts_become_some() -> None:
    with pytest.raises(BadRowError, match=r"use Conversation\.from_messages"):
        Conversation(cast("tuple[Message]", ({"role": "user", "content": "hi"},)))


def test_a_list_of_messages_becomes_a_tuple_too() -> None:
    listed = Conversation(cast("tuple[Message]", [Message.user("hi")]))
    assert hash(listed) == hash(Conversation().user("hi"))


def test_a_turn_without_text_may_stand_beside_one_with_text() -> None:
    prompt = Conversation().user("").user("hi")
    assert RequestContext(prompt=prompt).conversation is prompt


def test_a_list_of_parts_becomes_a_tuple_which_nobody_can_change() -> None:
    parts: list[Part] = [Text("a"), Text("b")]
    message = Message("user", cast("tuple[Part, ...]", parts))
    parts.clear()
    assert message.text == "ab"
    assert hash(message) == hash(Message.user([Text("a"), Text("b")]))
