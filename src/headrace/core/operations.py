"""What can be asked beside a conversation: vectors, rankings, speech and its text, judgements.

Each is one request on the same way as a conversation: it knows what its key is made of and what of
it counts as input. What is wrong with one is that row's error, found when its turn comes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final, Literal, TypeAlias

from headrace.core.errors import BadRowError
from headrace.core.media import Audio, Image
from headrace.core.plain import kind_of, plain

if TYPE_CHECKING:
    from array import array

InputType: TypeAlias = Literal["query", "document", "classification", "clustering", "similarity"]
INPUT_TYPES: Final = ("query", "document", "classification", "clustering", "similarity")
Vector: TypeAlias = "array[float]"
"""Single-precision numbers, as servers count in; ``numpy.asarray`` takes it as it is."""


@dataclass(frozen=True, slots=True)
class Embed:
    """One text, or image, that becomes a ``Vector``.

    ``dimensions`` shortens it where a model can; ``input_type`` says what the text is for.
    """

    input: str | Image
    dimensions: int | None = None
    input_type: InputType | None = None

    name: ClassVar[str] = "embed"
    writes: ClassVar[bool] = False

    @property
    def inputs(self) -> tuple[str | Image, ...]:
        """All that becomes vectors."""
        return (self.input,)

    @property
    def texts(self) -> tuple[str, ...]:
        """What counts as input, beside an image."""
        return (self.input,) if isinstance(self.input, str) else ()

    def check(self) -> None:
        """Raise ``BadRowError`` for what cannot be asked."""
        if not isinstance(self.input, Image):
            _text(self.input, "a text to embed")
        check_vectors(self.dimensions, self.input_type)

    def canonical(self) -> list[object]:
        """What keys are made of."""
        given = self.input.canonical() if isinstance(self.input, Image) else self.input
        return [given, self.dimensions, self.input_type]


@dataclass(frozen=True, slots=True)
class EmbedPack:
    """Several texts of the same kind, asked in one exchange; each keeps a key of its own."""

    items: tuple[Embed, ...]

    name: ClassVar[str] = "embed"
    writes: ClassVar[bool] = False

    @property
    def inputs(self) -> tuple[str | Image, ...]:
        """All that becomes vectors."""
        return tuple(item.input for item in self.items)

    @property
    def texts(self) -> tuple[str, ...]:
        """What counts as input."""
        return tuple(text for item in self.items for text in item.texts)

    @property
    def dimensions(self) -> int | None:
        """That of all."""
        return self.items[0].dimensions

    @property
    def input_type(self) -> InputType | None:
        """That of all."""
        return self.items[0].input_type

    def check(self) -> None:
        """Its items were checked one by one."""

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return [item.canonical() for item in self.items]


@dataclass(frozen=True, slots=True)
class Rerank:
    """Documents that are put in order of what they have to do with a query."""

    query: str
    documents: tuple[str, ...]
    top_n: int | None = None

    name: ClassVar[str] = "rerank"
    writes: ClassVar[bool] = False

    @property
    def texts(self) -> tuple[str, ...]:
        """What counts as input."""
        return (self.query, *self.documents)

    def check(self) -> None:
        """Raise ``BadRowError`` for what cannot be asked."""
        _text(self.query, "the query")
        if not isinstance(self.documents, tuple | list):
            kind = type(self.documents).__name__
            msg = f"documents must be a list of texts, not {kind}; put them into one"
            raise BadRowError(msg)
        if not self.documents:
            msg = "there are no documents to put in order; give some"
            raise BadRowError(msg)
        for document in self.documents:
            _text(document, "a document")

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return [self.query, list(self.documents), self.top_n]


@dataclass(frozen=True, slots=True)
class Moderate:
    """A text that is judged by what it would be refused for."""

    input: str

    name: ClassVar[str] = "moderate"
    writes: ClassVar[bool] = False

    @property
    def texts(self) -> tuple[str, ...]:
        """What counts as input."""
        return (self.input,)

    def check(self) -> None:
        """Raise ``BadRowError`` for what cannot be asked."""
        _text(self.input, "a text to judge")

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return [self.input]


@dataclass(frozen=True, slots=True)
class Transcribe:
    """Speech that is written down; ``prompt`` tells the model of names and spelling in it."""

    audio: Audio
    language: str | None = None
    prompt: str | None = None

    name: ClassVar[str] = "transcribe"
    writes: ClassVar[bool] = True

    @property
    def texts(self) -> tuple[str, ...]:
        """What counts as input; how many tokens the sound is, nobody tells before."""
        return () if self.prompt is None else (self.prompt,)

    def check(self) -> None:
        """Raise ``BadRowError`` for what cannot be asked."""
        audio: object = self.audio
        if not isinstance(audio, Audio) or audio.data is None:
            given = "one without" if isinstance(audio, Audio) else kind_of(audio)
            msg = (
                f"audio must be an Audio with its bytes, not {given};"
                " make it with Audio.from_path or Audio.from_bytes"
            )
            raise BadRowError(msg)

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return [self.audio.canonical(), self.language, self.prompt]


@dataclass(frozen=True, slots=True)
class Speak:
    """A text that is read out. ``format`` is "mp3", "wav" and so on; ``speed`` 1 is as usual."""

    text: str
    voice: str | None = None
    format: str | None = None
    speed: float | None = None
    instructions: str | None = None

    name: ClassVar[str] = "speak"
    writes: ClassVar[bool] = True

    @property
    def texts(self) -> tuple[str, ...]:
        """What counts as input."""
        return (self.text, *(() if self.instructions is None else (self.instructions,)))

    def check(self) -> None:
        """Raise ``BadRowError`` for what cannot be asked."""
        _text(self.text, "a text to read out")

    def canonical(self) -> list[object]:
        """What keys are made of."""
        return [self.text, self.voice, self.format, self.speed, self.instructions]


Operation: TypeAlias = Embed | EmbedPack | Rerank | Moderate | Transcribe | Speak
OPERATIONS: Final = (Embed, EmbedPack, Rerank, Moderate, Transcribe, Speak)
NAMES: Final = ("embed", "moderate", "rerank", "speak", "transcribe")


@dataclass(frozen=True, slots=True)
class Ranked:
    """A document's place: its ``index`` among those given, and a ``score``; higher is closer."""

    index: int
    score: float


@dataclass(frozen=True, slots=True)
class Moderation:
    """What a text would be refused for: which ``categories``, and how sure that is (0 to 1)."""

    flagged: bool
    categories: Mapping[str, bool]
    scores: Mapping[str, float]


def _text(value: object, what: str) -> None:
    if not isinstance(value, str) or not value:
        said = "is empty" if value == "" else f"must be a string, not {kind_of(value)}"
        raise BadRowError(f"{what} {said}; leave the row out or mend it")
    plain(value)


def check_vectors(dimensions: object, input_type: object) -> None:
    """Raise ``BadRowError`` for options that no vector can have."""
    if dimensions is not None and (type(dimensions) is not int or dimensions < 1):
        msg = f"dimensions must be a whole number above zero, not {dimensions!r:.50}"
        raise BadRowError(msg)
    if input_type is not None and input_type not in INPUT_TYPES:
        msg = f"input_type must be one of {', '.join(INPUT_TYPES)}, not {input_type!r:.50}"
        raise BadRowError(msg)


def operation(value: object) -> Operation | None:
    """``value`` if it is one of these."""
    return value if isinstance(value, OPERATIONS) else None
