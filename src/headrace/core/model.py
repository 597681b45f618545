"""Who can answer: rows for models and endpoints, and the route that leads to one of them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self, get_args

from pydantic import BeforeValidator, Field, model_validator

from headrace.core.bounds import NoFlag, Rate, Slots, Tokens
from headrace.core.checked import Checked, matching
from headrace.core.errors import ConfigError
from headrace.core.params import SamplingParams, check_extras
from headrace.core.secret import Secret

if TYPE_CHECKING:
    from headrace.core.response import Usage

_KEY_ID: Final = re.compile(r"\w{1,128}", re.ASCII)
# How an answer of a given shape is had; a model's row wins over its endpoint's.
Structured = Literal["native", "json_object", "tool", "instruct"]
# Whose names the headers have that tell limits; ``wire.limits`` reads all of them.
LimitHeaders = Literal["openai", "anthropic", "mistral", "cerebras", "together", "fireworks"]
# One text alone is a list of one.
Names = Annotated[
    tuple[str, ...], BeforeValidator(lambda given: (given,) if type(given) is str else given)
]
_PATH: Final = matching(r"/\S*", "a path that begins with / and has no blanks, such as /embed")
_AUTH: Final = matching(
    r"bearer|none|aws|google|[a-z0-9]+(-[a-z0-9]+)+",
    "bearer, none, aws, google or the name of a header in small letters, such as x-api-key",
)
_NAMES: Final = r"\S(.*\S)?"


def _accounts(given: object) -> object:
    """A name for all keys, or one for each variable that holds a key."""
    names = list(given.values()) if isinstance(given, dict) else [given]
    if not names or not all(isinstance(n, str) and re.fullmatch(_NAMES, n) for n in names):
        msg = "it must be a name, or a dict with a name for each variable of key_env"
        raise ValueError(msg)
    return given


Accounts = Annotated[str | dict[str, str], BeforeValidator(_accounts)]
_NAME: Final = matching(_NAMES, "a name, such as gpt-4.1")
# Of our own, so that no decimal context of the caller can round a price.
_EXACT: Final = Context(prec=200)


Dollars = Annotated[Decimal, Field(ge=0, allow_inf_nan=False, max_digits=18, decimal_places=9)]


class Price(Checked):
    """USD per million tokens. A cache price left out costs what uncached input costs.

    Raises ``ConfigError`` for what is no price.
    """

    input: Dollars
    output: Dollars
    cache_read: Dollars | None = None
    cache_write: Dollars | None = None

    def rates(self) -> Rates:
        """The same in whole nano-dollars, to count with."""
        read = self.input if self.cache_read is None else self.cache_read
        write = self.input if self.cache_write is None else self.cache_write
        return Rates(*(int(p.scaleb(9, _EXACT)) for p in (self.input, self.output, read, write)))

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for ``usage``, rounded half up."""
        return self.rates().cost(usage)


@dataclass(frozen=True, slots=True)
class Rates:
    """Nano-dollars per million tokens: whole numbers, exact and cheap to count with."""

    input: int
    output: int
    cache_read: int
    cache_write: int

    def cost(self, usage: Usage) -> int:
        """Nano-dollars for ``usage``, rounded half up."""
        total = (
            self.input * usage.input_tokens
            + self.output * usage.output_tokens
            + self.cache_read * usage.cache_read_tokens
            + self.cache_write * usage.cache_write_tokens
        )
        return (total + 500_000) // 1_000_000


def dollars(nanos: int) -> str:
    """A cost as it is shown: four places, or as many as two significant digits need."""
    places = min(9, max(4, 11 - len(str(nanos))))
    return f"${nanos / 1e9:.{places}f}" if nanos else "$0"


# The name of no model, where an endpoint alone is asked.
NO_MODEL: Final = "-"


class Model(Checked):
    """A row that says who can answer: ``id`` is ``"endpoint/name"``; the rest is optional.

    Each environment variable in ``key_env`` holds a key of its own, and each of ``regions`` is a
    place of its own: there is one route for each pair of them. Limits on a row belong to each route
    of that model, beside the limits of the client; keys of one ``account`` (its name, or one for
    each variable) share them, and so do models of one ``limit_group``. Of several models those of
    ``priority`` 2 are asked only when all of 1 are parked, open or gone, or have failed the
    request. ``extra_body`` and ``extra_headers`` go with each request to it, under those of the
    call. Raises ``ConfigError`` for what is no limit.
    """

    id: str
    max_output_tokens: Tokens | None = None
    price: Price | None = None
    requests_per_minute: Rate | None = None
    requests_per_day: Rate | None = None
    tokens_per_minute: Rate | None = None
    input_tokens_per_minute: Rate | None = None
    output_tokens_per_minute: Rate | None = None
    max_concurrent_requests: Slots | None = None
    priority: Annotated[int, Field(ge=1), NoFlag] = 1
    key_env: Names = ()
    regions: Names = ()
    account: Accounts | None = None
    limit_group: Annotated[str, _NAME] | None = None
    structured: Structured | None = None
    # Not shown: a gateway in between may have its token there.
    extra_headers: dict[str, str] | None = Field(default=None, repr=False)
    extra_body: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _extras_stay_in_their_place(self) -> Self:
        check_extras(self.extra_body, self.extra_headers)
        return self

    @model_validator(mode="after")
    def _parts_are_within_the_whole(self) -> Self:
        most = self.tokens_per_minute
        for name in ("input_tokens_per_minute", "output_tokens_per_minute"):
            part = getattr(self, name)
            if part is not None and most is not None and part > most:
                msg = (
                    f"{name} ({part:,.10g}) must not be above tokens_per_minute ({most:,.10g}),"
                    " which counts input and output together"
                )
                raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _each_key_has_an_account(self) -> Self:
        if isinstance(self.account, dict) and (odd := self.account.keys() ^ set(self.key_env)):
            msg = (
                f"account= must name an account for each variable of key_env= and for no other;"
                f" see {', '.join(sorted(odd))}"
            )
            raise ValueError(msg)
        return self

    def account_of(self, key: KeySource) -> str | None:
        """The account of one of its keys, where the row says so."""
        return self.account[key.env[0]] if isinstance(self.account, dict) else self.account

    def asked(self, params: SamplingParams | None) -> SamplingParams | None:
        """What is asked of this model alone: ``params`` laid over the row's own extras."""
        if self.extra_headers is None and self.extra_body is None:
            return params
        own = SamplingParams(extra_headers=self.extra_headers, extra_body=self.extra_body)
        return own | params

    @property
    def endpoint(self) -> str:
        """What stands before the first slash."""
        return self.id.partition("/")[0]

    @property
    def name(self) -> str:
        """What the endpoint calls the model; it may hold slashes itself."""
        return self.id.partition("/")[2]

    @property
    def called(self) -> str:
        """What sentences call it: its id, or the endpoint where that alone is asked."""
        return self.endpoint if self.name == NO_MODEL else self.id


class Offer(Checked):
    """How an endpoint does one operation beside chat; see ``registry/operations.toml``.

    ``items`` and ``tokens`` bound what one exchange may hold. ``models`` says what is otherwise for
    models whose names hold a text; what is not said there is as for the others.
    """

    wire: str | None = None
    path: Annotated[str, _PATH] | None = None
    items: Annotated[int, Field(ge=1), NoFlag] = 1
    tokens: Tokens | None = None
    renames: dict[str, str] = Field(default_factory=dict)
    unsupported: Names = ()
    needs: Names = ()
    words: dict[str, str] = Field(default_factory=dict)
    encoding: str | None = None
    models: dict[str, Offer] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _filled(cls, given: object) -> object:
        """Each of ``models`` as a whole, so that asking is a look."""
        if not isinstance(given, dict) or not isinstance(models := given.get("models"), dict):
            return given
        usual = {name: value for name, value in given.items() if name != "models"}
        return {**given, "models": {part: _over(usual, more) for part, more in models.items()}}

    def of(self, model: str) -> Offer:
        """What it is for a model of this name."""
        return next((offer for part, offer in self.models.items() if part in model), self)


def _over(usual: dict[str, object], more: object) -> object:
    """What is said of some models over what is ``usual``; anything else is left to be refused."""
    if isinstance(more, Offer):
        more = {name: getattr(more, name) for name in more.model_fields_set}
    return {**usual, **more} if isinstance(more, dict) else more


# The endpoint that is started on this machine, by whom it is first asked.
LOCAL: Final = "local"


class Endpoint(Checked):
    """A row for where models are served: base URL, wire format, and how it takes its key.

    ``registry/endpoints.toml`` says what each field means. Raises ``ConfigError`` for a wrong one.
    """

    name: str
    wire: str
    base_url: str | None = None
    defaults: dict[str, str] = Field(default_factory=dict)
    query: str | None = None
    hosts: Names = ()
    regions: Names = ()
    region_env: Names = ()
    key_env: Names = ()
    needs_key: bool = True
    auth: Annotated[str, _AUTH] = "bearer"
    lenient: bool = False
    service: str | None = None
    max_tokens_field: str = "max_tokens"
    renames: dict[str, str] = Field(default_factory=dict)
    unsupported: Names = ()
    names_tool_results: bool = False
    structured: Structured = "native"
    thinking: Literal["reasoning_effort", "reasoning", "thinking", "enable_thinking"] = (
        "reasoning_effort"
    )
    replays: Names = ()
    cache_marks: Literal["cache_control", "prompt_cache_breakpoint"] | None = None
    media: Literal["openai", "openrouter", "mistral"] = "openai"
    vendor_tools: dict[str, str] = Field(default_factory=dict)
    vendor_fields: dict[str, str] = Field(default_factory=dict)
    models: Names | None = None
    operations: dict[str, Offer] = Field(default_factory=dict)
    price: Price | None = None
    prices: str | None = None
    limit_headers: LimitHeaders | None = None
    limits_count: Literal["declared", "used"] = "used"
    max_concurrent_requests: Slots | None = None

    @property
    def vendor(self) -> str:
        """Whose models these are in price data and tokenizers; empty: nobody's that is known."""
        return self.name if self.prices is None else self.prices


@dataclass(frozen=True, slots=True)
class AwsKeys:
    """What requests to AWS are signed with; raises ``ConfigError`` for what cannot be that."""

    access_key_id: str = field(repr=False)
    secret_access_key: Secret
    session_token: Secret | None = None

    def __post_init__(self) -> None:
        secret, token = self.secret_access_key, self.session_token
        if not isinstance(secret, Secret) or not isinstance(token, Secret | None):
            msg = "the AWS secret access key and session token must each be given as a Secret"
            raise ConfigError(msg)
        # It stands in a header, and may be the secret one, given in the wrong place: not quoted.
        if not isinstance(self.access_key_id, str) or not _KEY_ID.fullmatch(self.access_key_id):
            msg = "the AWS access key id is not made of 1 to 128 letters, digits and underscores"
            raise ConfigError(msg)


@dataclass(frozen=True, slots=True)
class KeySource:
    """Where an API key comes from: the first of some environment variables that is set, or code.

    Where requests are signed for AWS: also keys given in code, or the name of a profile.
    """

    env: tuple[str, ...] = ()
    secret: Secret | None = None
    aws: AwsKeys | None = None
    profile: str | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Route:
    """model @ endpoint @ key @ region: what limits, breakers and statistics belong to.

    ``place`` is where its answers come from, for all regions alike; None: its ``base_url``. At AWS
    and Google ``region`` fills ``{region}`` or ``{location}`` in ``base_url`` when it is sent; None
    takes their own settings.
    """

    model: Model
    endpoint: Endpoint
    base_url: str
    key: KeySource = KeySource()
    number: int = 1
    region: str | None = None
    query: str = ""
    place: str | None = None
    id: str = field(init=False)
    """The name of the route in responses, errors and statistics."""
    scope: str = field(init=False)
    """The name of what its limits belong to: its own, or that of all routes that share them."""

    def offer(self, operation: str) -> Offer | None:
        """How its endpoint does ``operation`` with its model; None: not at all."""
        found = self.endpoint.operations.get(operation)
        return None if found is None else found.of(self.model.name)

    def __post_init__(self) -> None:
        number = "" if self.number == 1 else f"#{self.number}"
        region = "" if self.region is None else f"@{self.region}"
        object.__setattr__(self, "id", f"{self.model.called}{number}{region}")
        object.__setattr__(self, "scope", self._shared(number, region) or self.id)

    def _shared(self, number: str, region: str) -> str | None:
        """The same in all processes, however many of the routes each of them has."""
        model, account = self.model, self.model.account_of(self.key)
        if account is None and model.limit_group is None:
            return None
        models = f"{model.endpoint}/{model.limit_group}" if model.limit_group else model.called
        if account is not None:
            return f"{models}{region}, account {account}"
        own = f", key {self.key.env[0]}" if model.key_env else number
        return f"{models}{own}{region}"

    @property
    def structured(self) -> Structured:
        """How the rows say that an answer of a given shape is had."""
        return self.model.structured or self.endpoint.structured

    def when_structured(self, recorded: object) -> Route:
        """This route as it was when an answer was ``recorded`` to be had so; None: as it is."""
        if recorded == self.structured or recorded not in get_args(Structured):
            return self
        return replace(self, model=self.model.model_copy(update={"structured": recorded}))
