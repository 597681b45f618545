"""Every error that headrace raises or puts on a response. The class *is* the classification.

    HeadraceError
    ├── ConfigError               a setting is wrong; nothing was sent
    ├── RunStoppedError           the run cannot go on; what is finished is kept
    │   ├── NoRouteError          no route is left that could answer
    │   │   └── AllRoutesClosedError   of several (an AllRoutesFailedError)
    │   └── JournalError          the journal cannot be trusted or written
    ├── AllRoutesFailedError      several routes were tried, and none has answered in time
    ├── RequestError              this one request, on our side of the wire
    │   ├── BadRowError           the row is not a prompt
    │   ├── TooLargeError         the prompt is larger than a limit ever allows
    │   ├── DeadlineError         the request's deadline passed
    │   │   └── AllRoutesLateError    after attempts on several routes (an AllRoutesFailedError)
    │   └── UnexpectedError       a bug, ours or a hook's; the run goes on
    └── ProviderError             one attempt at a provider went wrong
        ├── NotSentError          never sent: refused, DNS, TLS
        │   └── HeldBackError     held back by us at the last moment; never seen outside
        ├── OutcomeUnknownError   sent, and no readable end came back: cut off, timed out
        │   ├── ConnectionLostError   the connection was closed before any byte of a reply
        │   └── TruncatedError    a stream ended before its finish
        ├── OverloadedError       the server is in trouble: 5xx, 529, 408, 409
        ├── RateLimitError        too fast: 429
        ├── QuotaError            billing or quota stop: waiting does not help
        ├── GoneError             this route is closed to us: 401, 403, 404, redirects
        ├── RejectedError         this request is refused: 400, 413, 422
        │   ├── TooLongError      the prompt does not fit this model
        │   ├── NotTakenError     this model takes no pictures, tools or the like
        │   └── ContentFilterError   prompt or answer was blocked
        ├── InvalidOutputError    an answer came that does not fit the output schema
        │   └── CutOffError           it was cut off by the bound on its output
        └── ReplyError            a reply came that cannot be read as an answer
            └── PageError             a web page came: something before the API answered

Each class says: may the same request be repeated on the same route (``repeat_here``) or on
another (``repeat_elsewhere``)? was it charged (``charged``)? what does it concern
(``concerns``)? does a circuit breaker count it (``trips_breaker``)? and carries a stable ``code``.
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Mapping

    from headrace.core.reply import Reply
    from headrace.core.response import Usage


class Charged(StrEnum):
    """Did the provider bill for the attempt?"""

    NO = "no"
    YES = "yes"
    UNKNOWN = "unknown"


class Concerns(StrEnum):
    """What an error is about, and so what it may stop."""

    REQUEST = "request"
    ROUTE = "route"
    ACCOUNT = "account"
    RUN = "run"


class HeadraceError(Exception):
    """The root of everything that headrace raises on purpose."""

    code: ClassVar[str] = "error"
    repeat_here: ClassVar[bool] = False
    repeat_elsewhere: ClassVar[bool] = False
    charged: ClassVar[Charged] = Charged.NO
    concerns: ClassVar[Concerns] = Concerns.REQUEST
    trips_breaker: ClassVar[bool] = False

    def __init__(self, message: str) -> None:
        """``message`` says what happened and what to do about it."""
        if not message.isascii():
            # Quoted from anywhere, it may hold lone surrogates, which no file or log takes.
            message = message.encode("utf-8", "backslashreplace").decode()
        super().__init__(message)
        self.message = message
        self.route: str | None = None
        self.attempt: int | None = None
        self.history: tuple[HeadraceError, ...] = ()
        self.spent_nanos: int | None = None

    @property
    def retryable(self) -> bool:
        """Might the same request succeed later or elsewhere?"""
        return self.repeat_here or self.repeat_elsewhere

    def to_dict(self) -> dict[str, object]:
        """The error as plain JSON data; what stands in output files."""
        fields: dict[str, object] = {
            "code": self.code,
            "message": self.message,
            "retryable": self.retryable,
        }
        fields.update((k, v) for k, v in self._details() if v is not None)
        if self.history:
            fields["history"] = [
                {"code": e.code, "message": e.message, "route": e.route} for e in self.history
            ]
        return fields

    def _details(self) -> list[tuple[str, object]]:
        return [("route", self.route), ("attempt", self.attempt)]


class ConfigError(HeadraceError, ValueError):
    """A setting is wrong. Raised before the first request; the message names what to change."""

    code = "config"
    concerns = Concerns.RUN


class RunStoppedError(HeadraceError):
    """The run cannot go on. Finished rows are kept; the rest was not sent and can be resumed."""

    code = "stopped"
    concerns = Concerns.RUN


class NoRouteError(RunStoppedError):
    """No route is left that could answer: each is closed, refused us, or never answered at all.

    One that answers nothing but 500 is closed where many rows are left; few rows fail alone.
    """

    code = "no_route"


class AllRoutesFailedError(HeadraceError):
    """Several routes were tried, and none has answered in time; the message says what came of each.

    ``history`` holds every attempt of the request. It comes as an ``AllRoutesClosedError`` where no
    route is left, so that the run stops, or as an ``AllRoutesLateError`` of one request.
    """

    code = "all_routes_failed"


class AllRoutesClosedError(NoRouteError, AllRoutesFailedError):
    """None of several routes is left: each is closed to us, or gave nothing for ``patience``."""

    code = "all_routes_closed"


class JournalError(RunStoppedError):
    """The journal is locked, corrupt, full or cannot be synced; nothing more is sent."""

    code = "journal"


class RequestError(HeadraceError):
    """This one request failed on our side of the wire; nothing was sent for it."""

    code = "request"


class BadRowError(RequestError, ValueError):
    """The row cannot be asked as it stands.

    It is not JSON, has no text, a wrong role, text that is not Unicode, a field that is misspelt,
    or names a model that this client cannot reach.
    """

    code = "bad_row"


class TooLargeError(RequestError):
    """The prompt needs more tokens than a limit ever allows; it would wait for ever."""

    code = "too_large"


class DeadlineError(RequestError):
    """The request's deadline passed before an answer came; the message says what took so long.

    ``arrived`` is the text that a stream had brought by then.
    """

    code = "deadline"
    charged = Charged.UNKNOWN

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.arrived: str | None = None


class AllRoutesLateError(DeadlineError, AllRoutesFailedError):
    """The request's deadline passed, and attempts on several routes had failed before."""

    code = "all_routes_late"


class UnexpectedError(RequestError):
    """Something unforeseen inside one request: a bug of ours or of a hook. Please report it."""

    code = "unexpected"
    charged = Charged.UNKNOWN


class ProviderError(HeadraceError):
    """One attempt at a provider went wrong.

    ``status`` is the HTTP status if one came, ``hint`` the seconds that the server asked us to
    wait, ``reply`` the raw reply where one was paid for, ``usage`` what was billed where known,
    ``arrived`` the text that a stream had brought before it broke off.
    """

    code = "provider"
    concerns = Concerns.ROUTE

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        hint: float | None = None,
        reply: Reply | None = None,
        usage: Usage | None = None,
        details: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.status = status
        self.hint = hint
        self.reply = reply
        self.usage = usage
        self.details = details
        self.arrived: str | None = None

    def _details(self) -> list[tuple[str, object]]:
        more = [("status", self.status), ("hint", self.hint), ("details", self.details)]
        return super()._details() + more


class NotSentError(ProviderError):
    """The request never left: connection refused, name not found, TLS not trusted."""

    code = "not_sent"
    repeat_here = True
    repeat_elsewhere = True
    trips_breaker = True


class HeldBackError(NotSentError):
    """The request is to go out anew, as if it had not been sent. Never seen outside.

    Its route was parked at the last moment, or credentials that were refused have been renewed.
    """

    code = "held_back"
    trips_breaker = False


class OutcomeUnknownError(ProviderError):
    """The request was sent and no whole reply came back: dropped, cut, or timed out."""

    code = "outcome_unknown"
    repeat_here = True
    repeat_elsewhere = True
    charged = Charged.UNKNOWN
    trips_breaker = True


class ConnectionLostError(OutcomeUnknownError):
    """The connection was closed before any byte of a reply, as servers do with idle ones."""

    code = "connection_lost"


class TruncatedError(OutcomeUnknownError):
    """A stream ended before its finish: what has arrived is no whole answer."""

    code = "truncated"


class OverloadedError(ProviderError):
    """The server is in trouble (5xx, 529, 408, 409): try again a little later."""

    code = "overloaded"
    repeat_here = True
    repeat_elsewhere = True
    trips_breaker = True


class RateLimitError(ProviderError):
    """The server asks us to slow down (429). It costs the prompt no attempt."""

    code = "rate_limited"
    repeat_here = True
    repeat_elsewhere = True


class QuotaError(ProviderError):
    """A billing or quota stop: no credit, a spend cap, a daily quota. Waiting does not help."""

    code = "quota"
    repeat_elsewhere = True
    concerns = Concerns.ACCOUNT


class GoneError(ProviderError):
    """This route is closed to us: a wrong key, no permission, no such model, a redirect."""

    code = "gone"
    repeat_elsewhere = True


class RejectedError(ProviderError):
    """The provider refuses this request as it is; repeating it gives the same refusal."""

    code = "rejected"
    concerns = Concerns.REQUEST


class TooLongError(RejectedError):
    """The prompt does not fit into this model's context; a larger model may take it."""

    code = "too_long"
    repeat_elsewhere = True


class NotTakenError(RejectedError):
    """This model, or what serves it, takes no such thing (a picture, a tool); another may."""

    code = "not_taken"
    repeat_elsewhere = True


class ContentFilterError(RejectedError):
    """The prompt or the answer was blocked. ``usage`` holds what was billed, if anything."""

    code = "filtered"
    charged = Charged.UNKNOWN


class InvalidOutputError(ProviderError):
    """An answer came that does not fit the ``output_schema``.

    ``said`` is its text and ``problem`` what is wrong with it. It is asked again with that, as one
    more attempt.
    """

    code = "invalid_output"
    repeat_here = True
    repeat_elsewhere = True
    charged = Charged.YES
    concerns = Concerns.REQUEST
    said: str = ""
    problem: str = ""


class CutOffError(InvalidOutputError):
    """The answer was cut off by the bound on its output before it fitted the ``output_schema``.

    The same bound would cut it again, and be paid for again, so that model is not asked again, but
    another one where its bound is not known to be as low.
    """

    code = "cut_off"
    repeat_here = False


class ReplyError(ProviderError):
    """A reply came that cannot be read as an answer; the raw bytes are in ``reply``."""

    code = "unreadable_reply"
    repeat_here = True
    repeat_elsewhere = True
    charged = Charged.UNKNOWN


class PageError(ReplyError):
    """A web page came (200, 403): a firewall, a login or another server answered, not the API."""

    code = "page"
    charged = Charged.NO
    trips_breaker = True
