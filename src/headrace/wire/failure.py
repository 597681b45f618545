"""Reads failure: the one place that looks into a refusal's status, codes and message text.

A status decides first; the codes in the body tell apart what shares one (a rate limit from a
billing stop, a bad request from one that is too long). Message text is the last resort, where a
provider gives no code. A text that could close a whole route is matched from its beginning, since
servers quote prompts in their messages and no prompt may pass for a billing stop.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final, TypeAlias

from headrace.core.errors import (
    ContentFilterError,
    GoneError,
    NotTakenError,
    OverloadedError,
    PageError,
    ProviderError,
    QuotaError,
    RateLimitError,
    RejectedError,
    ReplyError,
    TooLongError,
)
from headrace.wire import amazon, complaint, hints, named, openai_codes, reading
from headrace.wire.limits import (
    NO_LIMITS,
    TOO_MANY_REQUESTS,
    Limit,
    Limits,
    hint,
    keeps,
    read_limits,
)
from headrace.wire.remedy import NOTHING, Lost, remedy

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.reply import Reply
    from headrace.core.response import Usage
    from headrace.wire.complaint import Complaint

__all__ = [
    "NO_LIMITS",
    "TOO_MANY_REQUESTS",
    "Limit",
    "Limits",
    "check",
    "from_error_object",
    "from_reply",
    "hint",
    "keeps",
    "overloaded",
    "read_limits",
    "read_object",
    "reported_cost",
    "unreadable",
]

Kind: TypeAlias = type[ProviderError]
OK: Final = 200
_FIRST_REDIRECT, _FIRST_REFUSAL, _FIRST_TROUBLE, _NO_STATUS = 300, 400, 500, 600
_BAD_REQUEST, _PAYMENT, _FORBIDDEN, _ODD = 400, 402, 403, 498
_MESSAGE: Final = 300

# Statuses whose meaning no code in the body changes.
_FIXED: Final[dict[int, Kind]] = {
    401: GoneError,
    404: GoneError,
    405: GoneError,
    407: GoneError,
    408: OverloadedError,
    409: OverloadedError,
    410: GoneError,
    413: TooLongError,
    418: RejectedError,
    425: OverloadedError,
    499: RejectedError,
}
# Codes and types, in lower case; of several the first here wins, the more telling ones stand first.
_NAMED: Final[dict[str, Kind]] = {
    **dict.fromkeys(
        (
            "context_length_exceeded",
            "context_window_exceeded",
            "exceed_context_size_error",
            "model_max_prompt_tokens_exceeded",
            "request_too_large",
            "string_above_max_length",
        ),
        TooLongError,
    ),
    **dict.fromkeys(
        (
            "1301",  # Z.ai
            "bio_policy",  # OpenAI Responses
            "content_filter",
            "content_policy_violation",
            "data_inspection_failed",
            "image_content_policy_violation",
            "misalignment_policy_violation",
            "moderation_blocked",
            "responsibleaipolicyviolation",
        ),
        ContentFilterError,
    ),
    **dict.fromkeys(
        (
            "1113",  # Z.ai: an account in arrears, with 429
            "billing_disabled",  # Google
            "billing_error",
            "billing_hard_limit_reached",
            "billing_not_active",
            "credit_balance_too_low",
            "exceeded_current_quota_error",
            "insufficient_balance",
            "insufficient_credits",
            "insufficient_quota",
            "spend_limit_exceeded",
            "spend_limit_reached",
        ),
        QuotaError,
    ),
    **dict.fromkeys(
        (
            "1211",  # Z.ai: no such model
            "account_deactivated",
            "api_key_invalid",  # Google
            "invalid_api_key",
            "invalid_model",  # Mistral
            "model_decommissioned",
            "model_not_found",
        ),
        GoneError,
    ),
    **dict.fromkeys(
        ("overloaded_error", "server_error", "service_unavailable", "timeout_error"),
        OverloadedError,
    ),
    **dict.fromkeys(("rate_limit_error", "rate_limit_exceeded"), RateLimitError),
    **amazon.NAMED,
}
# What a type says of the status that it should have come with, where it came with 200.
_STATUS_OF: Final = {
    **amazon.STATUS_OF,
    "api_error": 500,
    "authentication_error": 401,
    "internal_error": 500,
    "internal_server_error": 500,
    "invalid_prompt": 400,  # OpenAI Responses
    "invalid_request_error": 400,
    "not_found_error": 404,
    "overloaded_error": 529,
    "permission_error": 403,
    "rate_limit_error": 429,
    "rate_limit_exceeded": 429,
    "server_error": 500,
    "unavailable_error": 503,
    "vector_store_timeout": 504,
    **openai_codes.STATUS_OF,
}
_TOO_LONG: Final = re.compile(
    r"(?:prompt|input|request) (?:is|was) too (?:long|large)|too many (?:input |prompt )?tokens"
    r"|maximum (?:context|prompt|model) length|input token count"
    r"|(?:exceed\w*|longer than|larger than)\b.{0,60}\bcontext|context\b.{0,40}\bexceed"
    r"|reduce the length of|tokens \+ `?max_new_tokens",
    re.IGNORECASE | re.DOTALL,
)
_FILTERED: Final = re.compile(
    r"content (?:filter|management|moderation|polic)\w*|flagged (?:as|by|for)|safety system"
    r"|usage guidelines|requires moderation",
    re.IGNORECASE,
)
_UNPAID: Final = re.compile(
    r"(?:you|this|the) ?\w*\b.{0,100}?\b"
    r"(?:credit balance|all available credits|(?:usage|spend|spending) (?:limit|cap)s?)\b",
    re.IGNORECASE,
)
_NOT_OURS: Final = re.compile(
    r"(?:incorrect|invalid) api (?:key|token)|api key not valid"  # xAI, Cohere and Gemini
    r"|user location is not supported"  # Gemini
    r"|this organization has been disabled"  # Anthropic
    r"|model not exist|\S{1,200} is not a valid model id"  # DeepSeek and OpenRouter
    r"|the provided model identifier is invalid|invocation of model id \S{1,2048} with on-demand",
    re.IGNORECASE,
)
_TOO_LARGE_FOR_ANY_MINUTE: Final = re.compile(r"request too large for", re.IGNORECASE)


def check(reply: Reply, lost: Lost = NOTHING) -> None:
    """Raise the typed error that a reply with another status than 200 is.

    The body of a 200 is not looked into; the codec does that, once. ``lost`` is what to do
    about a status where no model was asked.
    """
    if reply.status != OK:
        raise from_reply(reply, lost)


def from_reply(reply: Reply, lost: Lost = NOTHING) -> ProviderError:
    """The error that a reply with another status than 200 stands for; see ``check``."""
    status = reply.status
    if _FIRST_REDIRECT <= status < _FIRST_REFUSAL:
        msg = (
            f"the server answered {status}, a redirect, and redirects are off;"
            " set base_url to the final address"
        )
        return GoneError(msg, status=status, hint=hint(reply.headers, status))
    if not _FIRST_REFUSAL <= status < _NO_STATUS:
        return unreadable(reply, "an answer comes with status 200")
    said = complaint.of_body(reply.body, reply.headers.get("x-amzn-errortype"))
    kind = _obey(reply.headers.get("x-should-retry"), _classify(status, said, reply))
    return _error(kind, f"the server answered {status}", said, reply, None, lost)


def from_error_object(
    data: Mapping[str, object], reply: Reply, usage: Usage | None = None
) -> ProviderError:
    """The error that an error object in a reply with status 200 stands for, by its inner code.

    Inner codes that say nothing make it a ``ReplyError``.
    """
    said = complaint.of_object(data)
    meant = (_STATUS_OF[name] for name in sorted(said.names) if name in _STATUS_OF)
    status = said.status or next(meant, None)
    if status is None:
        kind = _kind(said) or _by_text(said) or ReplyError
    else:
        kind = _classify(status, said, reply)
    return _error(kind, "the server answered 200 with an error", said, reply, usage, NOTHING)


def reported_cost(reply: Reply) -> int | None:
    """What the provider itself says, in nano-dollars, that a failed attempt cost."""
    data = reading.load(reply.body)
    return None if data is None else reading.reported_cost(data.get("usage"))


def overloaded(reply: Reply, reason: str, usage: Usage | None = None) -> OverloadedError:
    """A reply with status 200 that says it was ended by trouble at the provider."""
    msg = f'the answer was broken off by the provider ("{reading.clean(reason, 60)}"); try again'
    wait = hint(reply.headers, reply.status)
    return OverloadedError(msg, status=reply.status, hint=wait, reply=reply, usage=usage)


def blocked(reply: Reply, reason: str, usage: Usage | None = None) -> ContentFilterError:
    """A reply with status 200 that holds no answer because the provider kept it back."""
    msg = "the answer was blocked or refused by the provider; change the prompt"
    details = {"reason": reading.clean(reason, 300)}
    return ContentFilterError(msg, status=reply.status, reply=reply, usage=usage, details=details)


def unreadable(reply: Reply, reason: str, usage: Usage | None = None) -> ReplyError:
    """A reply that is no answer; ``reason`` says why, the message shows its beginning."""
    shown = reading.snippet(reply.body)
    begins = f'it begins "{shown}"' if shown else "its body is empty"
    kind = PageError if complaint.is_page(reply.body) else ReplyError
    msg = (
        f"a reply with status {reply.status} cannot be read as an answer: {reason}; {begins};"
        f" {remedy(kind)}"
    )
    wait = hint(reply.headers, reply.status)
    return kind(msg, status=reply.status, hint=wait, reply=reply, usage=usage)


def read_object(reply: Reply) -> dict[str, object]:
    """The JSON object that a reply with status 200 holds, or ``ReplyError``."""
    data = reading.load(reply.body)
    if data is None:
        raise unreadable(reply, "it is not a JSON object")
    return data


def _kind(said: Complaint) -> Kind | None:
    """What the codes stand for."""
    return next((kind for name, kind in _NAMED.items() if name in said.names), None)


def _one_of(said: Complaint, *kinds: Kind) -> Kind | None:
    kind = _kind(said)
    return kind if kind in kinds else None


def _of_request(status: int, said: Complaint) -> Kind | None:
    """What a request itself is to blame for where its status says another thing, or no more."""
    known = _kind(said)
    if known in {None, OverloadedError} and named.is_not_taken(status, said):
        return NotTakenError
    return RejectedError if known is None and named.is_missed(status, said) else None


def _classify(status: int, said: Complaint, reply: Reply) -> Kind:
    if (kind := _of_request(status, said)) is not None:
        return kind
    if status in _FIXED:
        return _FIXED[status]
    if status == TOO_MANY_REQUESTS:
        return _too_fast(said, reply)
    if status == _ODD:
        return _invalid_token(said, reply)
    if status == _PAYMENT:
        # OpenRouter: a budget in flight; it says when to come back.
        return QuotaError if hint(reply.headers, status) is None else RateLimitError
    if status >= _FIRST_TROUBLE:
        return _one_of(said, TooLongError, ContentFilterError) or OverloadedError
    if status == _FORBIDDEN:
        return _forbidden(said)
    return _kind(said) or _by_text(said) or _bad_request(status, said)


def _too_fast(said: Complaint, reply: Reply) -> Kind:
    if _kind(said) is QuotaError or hints.is_spent(said, reply):
        return QuotaError
    if _UNPAID.match(said.message):  # Anthropic and xAI
        return QuotaError if hints.wait(RateLimitError, said, reply) is None else RateLimitError
    # OpenAI and Groq: more tokens than a minute allows in all; waiting would be for ever.
    return TooLongError if _TOO_LARGE_FOR_ANY_MINUTE.match(said.message) else RateLimitError


def _invalid_token(said: Complaint, reply: Reply) -> Kind:
    """498 is Groq's full flex tier, and Cohere's for a token of a prompt or answer that it denies.

    Cohere's error is a flat object, Groq's stands in ``error``. What it calls a token is no key,
    and one prompt must not close the route for all; only a text that names the key does.
    """
    data = reading.load(reply.body) or {}
    if "error" in data or type(data.get("message")) is not str:
        return OverloadedError
    return GoneError if _NOT_OURS.match(said.message) else ContentFilterError


def _forbidden(said: Complaint) -> Kind:
    if said.is_page:  # a firewall may dislike one prompt, which must not close the route for all
        return PageError
    if (kind := _one_of(said, ContentFilterError, QuotaError)) is not None:
        return kind
    if _FILTERED.search(said.message):
        return ContentFilterError
    return QuotaError if _UNPAID.match(said.message) else GoneError


def _by_text(said: Complaint) -> Kind | None:
    if _TOO_LONG.search(said.message):
        return TooLongError
    return ContentFilterError if _FILTERED.search(said.message) else None


def _bad_request(status: int, said: Complaint) -> Kind:
    if _NOT_OURS.match(said.message):
        return GoneError
    unpaid = status == _BAD_REQUEST and "invalid_request_error" in said.names  # Anthropic
    if unpaid and _UNPAID.match(said.message):
        return QuotaError
    return NotTakenError if named.is_said_so(status, said) else RejectedError


def _obey(wish: str | None, kind: Kind) -> Kind:
    """``x-should-retry`` wins over the status (so do OpenAI's and Anthropic's own clients)."""
    if wish == "true" and not kind.repeat_here:
        return OverloadedError
    if wish != "false" or not kind.repeat_here:
        return kind
    # Too fast, and waiting does not help: no prompt is at fault.
    return QuotaError if kind is RateLimitError else RejectedError


def _error(  # noqa: PLR0917 - what an error is, each part once
    kind: Kind, what: str, said: Complaint, reply: Reply, usage: Usage | None, lost: Lost
) -> ProviderError:
    message = reading.clean(said.message, _MESSAGE).rstrip(" .;")
    details = {
        name: _shown(value) for name, value in said.details.items() if value not in {None, ""}
    }
    if request_id := reading.request_id(reply.headers, {}):
        details["request_id"] = reading.clean(request_id)
    return kind(
        f"{what}{f': {message}' if message else ''}; {remedy(kind, reply.status, lost)}",
        status=reply.status,
        hint=hints.wait(kind, said, reply),
        reply=reply if reply.status == OK else None,
        usage=usage,
        details=details or None,
    )


def _shown(value: object) -> object:
    return reading.clean(value) if isinstance(value, str) else value
