"""Speech into text, and text into speech."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Unpack, cast, overload

from headrace.client.operations import Operating, OperationOptions, own
from headrace.core.errors import ConfigError
from headrace.core.media import Audio, File
from headrace.core.operations import Speak, Transcribe
from headrace.core.plain import kind_of

if TYPE_CHECKING:
    from collections.abc import AsyncIterable, Iterable
    from typing import TypeAlias

    from headrace.client.operations import Asking, Texts
    from headrace.core.response import APIResponse, Responses

    Sounds: TypeAlias = Iterable[Audio] | AsyncIterable[Audio]


class TranscribeOptions(OperationOptions, total=False):
    """``language`` is what is spoken ("en"); ``prompt`` tells of names and spelling in it."""

    language: str | None
    prompt: str | None


class SpeakOptions(OperationOptions, total=False):
    """``voice``, which most vendors want, is one of their names for them ("alloy").

    ``format`` is "mp3", "wav" and so on, ``speed`` 1 as usual, ``instructions`` the manner.
    """

    voice: str | None
    format: str | None
    speed: float | None
    instructions: str | None


class Speech(Operating):
    """The verbs for sound."""

    @overload
    async def transcribe(
        self, audio: Audio, **options: Unpack[TranscribeOptions]
    ) -> APIResponse[None]: ...
    @overload
    async def transcribe(
        self, audio: Sounds, **options: Unpack[TranscribeOptions]
    ) -> Responses[None]: ...
    async def transcribe(
        self, audio: Audio | Sounds, **options: Unpack[TranscribeOptions]
    ) -> APIResponse[None] | Responses[None]:
        """Write down what is said; the text is ``completion``, times and such are ``metadata``."""
        asked = self._transcribe(audio, options)
        return cast("APIResponse[None] | Responses[None]", await self._asked(asked))

    @overload
    def transcribe_sync(
        self, audio: Audio, **options: Unpack[TranscribeOptions]
    ) -> APIResponse[None]: ...
    @overload
    def transcribe_sync(
        self, audio: Sounds, **options: Unpack[TranscribeOptions]
    ) -> Responses[None]: ...
    def transcribe_sync(
        self, audio: Audio | Sounds, **options: Unpack[TranscribeOptions]
    ) -> APIResponse[None] | Responses[None]:
        """``transcribe`` for scripts, threads and notebooks."""
        asked = self._transcribe(audio, options)
        return cast("APIResponse[None] | Responses[None]", self._asked_sync(asked))

    @overload
    async def speak(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self, texts: str, **options: Unpack[SpeakOptions]
    ) -> APIResponse[Audio]: ...
    @overload
    async def speak(self, texts: Texts, **options: Unpack[SpeakOptions]) -> Responses[Audio]: ...
    async def speak(
        self, texts: str | Texts, **options: Unpack[SpeakOptions]
    ) -> APIResponse[Audio] | Responses[Audio]:
        """Read texts out; ``parsed`` is an ``Audio`` with the bytes and their type."""
        asked = self._speak(texts, options)
        return cast("APIResponse[Audio] | Responses[Audio]", await self._asked(asked))

    @overload
    def speak_sync(  # type: ignore[overload-overlap]  # a str is one text, not an iterable
        self, texts: str, **options: Unpack[SpeakOptions]
    ) -> APIResponse[Audio]: ...
    @overload
    def speak_sync(self, texts: Texts, **options: Unpack[SpeakOptions]) -> Responses[Audio]: ...
    def speak_sync(
        self, texts: str | Texts, **options: Unpack[SpeakOptions]
    ) -> APIResponse[Audio] | Responses[Audio]:
        """``speak`` for scripts, threads and notebooks."""
        asked = self._speak(texts, options)
        return cast("APIResponse[Audio] | Responses[Audio]", self._asked_sync(asked))

    def _transcribe(self, audio: Audio | Sounds, options: TranscribeOptions) -> Asking:
        if isinstance(audio, str | bytes | File):
            msg = (
                f"transcribe takes an Audio, or an iterable of them, not {kind_of(audio)};"
                " make it with Audio.from_path or Audio.from_bytes"
            )
            raise ConfigError(msg)
        made = partial(Transcribe, **own(TranscribeOptions, options))
        return self._read(Transcribe.name, audio, Audio, made, options, TranscribeOptions)

    def _speak(self, texts: str | Texts, options: SpeakOptions) -> Asking:
        made = partial(Speak, **own(SpeakOptions, options))
        return self._read(Speak.name, texts, str, made, options, SpeakOptions)
