"""What a server says in an error, wherever its dialect puts it: words, codes, a status within.

Read here, judged in ``failure``. Nested objects (OpenAI, Anthropic, OpenRouter, vLLM), flat ones
(SGLang, older vLLM, FastAPI), a bare text (Ollama, xAI), HTML pages and plain text of proxies.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from headrace.wire import reading
from headrace.wire.limits import reset_after

_FIRST_REFUSAL, _NO_STATUS = 400, 600
_DEPTH: Final = 5
_ITEMS: Final = 3
_SAID: Final = ("message", "detail", "msg", "Message")  # the last of AWS
_START: Final = 4000
_TITLE: Final = re.compile(r"<title[^>]{0,100}>([^<]{1,300})", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Complaint:
    """``names`` are its codes and types in lower case, ``details`` what is worth showing of it.

    ``wait`` is the seconds of quiet that it asks for, ``quotas`` names what is used up (Google puts
    both into the body); ``headers`` are those that OpenRouter puts there, in lower case.
    """

    message: str
    names: frozenset[str] = frozenset()
    status: int | None = None
    is_page: bool = False
    wait: float | None = None
    quotas: tuple[str, ...] = ()
    headers: Mapping[str, str] = field(default_factory=dict)
    details: Mapping[str, str | int] = field(default_factory=dict)


def of_body(body: bytes, named: str | None = None) -> Complaint:
    """What a body says, whatever it is; ``named`` is the code that a header gave it."""
    # Gemini puts the object into a list.
    data = reading.load(body) or reading.load(body.strip().removeprefix(b"[").removesuffix(b"]"))
    if data is not None:
        return of_object({"__type": named, **data} if named else data)
    start = body[:_START].decode("utf-8", "replace").strip()
    if not is_page(body):
        return Complaint(start, _names(_of_amazon(named)))
    title = _TITLE.search(start)
    return Complaint(f"an HTML page{f', {title[1].strip()}' if title else ''}", is_page=True)


def is_page(body: bytes) -> bool:
    """Is it a web page, which no API writes?"""
    return body[:_START].removeprefix(b"\xef\xbb\xbf").lstrip().startswith(b"<")


def of_object(data: Mapping[str, object]) -> Complaint:
    """What an error object says, or an object with an ``error`` in it."""
    inner = data.get("error")
    error = reading.block(inner) or data
    metadata = reading.block(error.get("metadata"))
    codes = (error.get("code"), error.get("type"))
    deeper = (
        reading.block(error.get("details")).get("error_code"),
        metadata.get("error_type"),
        reading.block(error.get("innererror")).get("code"),
    )
    google = _google_details(error)
    quotas = tuple(quota for info in google for quota in _quotas(info))
    details = {name: error.get(name) for name in ("type", "code", "param")}
    if amazon := _of_amazon(data.get("__type")):
        details["type"] = amazon
    details["request_id"] = data.get("request_id")
    details["quota"] = ", ".join(quotas)
    # OpenRouter: what the provider behind it wrote, which says more than "Provider returned error".
    within = reading.text(metadata.get("raw"))
    return Complaint(
        message=": ".join(filter(None, (_words(inner) or _words(error), within))),
        names=_names(*codes, *deeper, amazon, *(item.get("reason") for item in google)),
        status=next((s for s in map(_status, codes) if s is not None), None),
        wait=next((s for s in map(_delay, google) if s is not None), None),
        quotas=quotas,
        headers=_headers(metadata.get("headers")),
        details={n: v for n, v in details.items() if v and isinstance(v, str | int)},
    )


def _names(*codes: object) -> frozenset[str]:
    return frozenset(code.lower() for code in codes if code and isinstance(code, str))


def _of_amazon(named: object) -> str | None:
    """An exception's name, without the namespace before it and the address behind it."""
    if not isinstance(named, str):
        return None
    return named.partition(":")[0].rpartition("#")[2].strip() or None


def _google_details(error: Mapping[str, object]) -> list[dict[str, object]]:
    """The objects of ``google.rpc`` beside an error: ErrorInfo, RetryInfo and others."""
    found = error.get("details")
    return [reading.block(item) for item in found] if isinstance(found, list) else []


def _delay(info: Mapping[str, object]) -> float | None:
    """Of RetryInfo the delay, a duration such as "37.5s"."""
    written = info.get("retryDelay")
    return reset_after(written, {}) if isinstance(written, str) else None


def _quotas(info: Mapping[str, object]) -> list[str]:
    """Of QuotaFailure and ErrorInfo the names of the quotas that are used up."""
    violations = info.get("violations")
    rows = violations if isinstance(violations, list) else []
    named = [reading.block(row).get("quotaId") for row in rows]
    named.append(reading.block(info.get("metadata")).get("quota_limit"))
    return [name for name in named if isinstance(name, str)]


def _headers(found: object) -> dict[str, str]:
    pairs = reading.block(found).items()
    return {name.lower(): str(value) for name, value in pairs if isinstance(value, str | int)}


def _status(code: object) -> int | None:
    if isinstance(code, str) and re.fullmatch("[45][0-9]{2}", code):
        return int(code)
    if type(code) is int and _FIRST_REFUSAL <= code < _NO_STATUS:
        return code
    return None


def _words(value: object, depth: int = _DEPTH) -> str:
    """The text of an error, wherever it stands: ``message``, ``detail``, or ``msg`` in a list."""
    if isinstance(value, str):
        return value
    if depth and isinstance(value, list):
        return "; ".join(filter(None, (_words(item, depth - 1) for item in value[:_ITEMS])))
    if depth and isinstance(value, dict):
        found = (_words(value.get(name), depth - 1) for name in _SAID)
        return next(filter(None, found), "")
    return ""
