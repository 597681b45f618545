"""Who signs, and where: found for each request, from code, the environment, or a profile.

As in AWS's own clients: what is given in code wins, then a bearer key of the environment, then its
access keys, then the profile. Nothing is kept but the profile files as they were read.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from headrace.adapters.aws import profiles
from headrace.core.errors import ConfigError, GoneError
from headrace.core.model import AwsKeys
from headrace.core.secret import Secret

if TYPE_CHECKING:
    from headrace.core.model import Route

_REGION: Final = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,38}[a-z0-9])?")
_PLACE: Final = "{region}"
_ID, _SECRET, _TOKEN = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"


@dataclass(frozen=True, slots=True)
class Standing:
    """What one request is sent with: a bearer key or keys to sign with, and where to."""

    credentials: AwsKeys | Secret
    region: str
    base_url: str

    @property
    def sent(self) -> str | None:
        """What of it goes over the wire and is secret."""
        found = self.credentials
        if isinstance(found, AwsKeys):
            return None if found.session_token is None else found.session_token.reveal()
        return found.reveal()


def require(route: Route) -> Standing:
    """What to send with; what is missing or malformed by now closes the route."""
    try:
        return standing(route)
    except ConfigError as error:
        raise GoneError(error.message) from None


def standing(route: Route) -> Standing:
    """What ``route`` is asked with now; raises ``ConfigError`` where that is not to be found."""
    try:
        found, region = _credentials(route), ""
        # A profile that is not needed may be a broken one.
        if isinstance(found, AwsKeys) or _PLACE in route.base_url:
            region = _region(route)
    except ConfigError as error:
        msg = f"{route.id}: {error.message}"
        raise ConfigError(msg) from None
    return Standing(found, region, route.base_url.replace(_PLACE, region).rstrip("/"))


def is_renewed(route: Route, sent: str) -> bool:
    """Are there others by now than those of the header ``Authorization`` that was just refused?

    Files are read again for it, also where their times say that nothing has changed.
    """
    profiles.forget()
    try:
        found = standing(route).credentials
    except ConfigError:
        return False
    if isinstance(found, AwsKeys):
        return f" Credential={found.access_key_id}/" not in sent
    return sent != f"Bearer {found.reveal()}"


def _credentials(route: Route) -> AwsKeys | Secret:
    key = route.key
    found = key.secret or key.aws
    if found is None and key.profile is None:
        bearer = next(filter(None, map(_secret, key.env)), None)
        if bearer is None and route.model.key_env:  # nobody else's credentials stand in for it
            msg = f"it needs a key of AWS Bedrock; set {' or '.join(key.env)}"
            raise ConfigError(msg)
        found = bearer or _of_environment()
    if found:
        return found
    if (profile := profiles.find(key.profile)) is not None:
        return profile.keys
    names = "".join(f"{name}, or " for name in key.env)
    msg = (
        f"no AWS credentials are found; set {names}{_ID} and {_SECRET}, or name a profile in"
        " AWS_PROFILE"
    )
    raise ConfigError(msg)


def _of_environment() -> AwsKeys | None:
    key_id, secret = os.environ.get(_ID), _secret(_SECRET)
    if not key_id and secret is None:
        return None
    if not key_id or secret is None:
        there, missing = (_ID, _SECRET) if key_id else (_SECRET, _ID)
        msg = f"{there} is set and {missing} is not; set both or neither"
        raise ConfigError(msg)
    try:
        return AwsKeys(key_id, secret, _secret(_TOKEN))
    except ConfigError as error:
        msg = error.message if _TOKEN in error.message else f"{error.message}; check {_ID}"
        raise ConfigError(msg) from None


def _secret(name: str) -> Secret | None:
    if not os.environ.get(name):
        return None
    try:
        return Secret(os.environ[name])
    except ConfigError:
        msg = f"{name} has spaces around it or holds what no header may carry; set it anew"
        raise ConfigError(msg) from None


def _region(route: Route) -> str:
    region = route.region or os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and (profile := profiles.find(route.key.profile)) is not None:
        region = profile.region
    if not region:
        msg = "no AWS region is known; set AWS_REGION, or the region of the profile"
        raise ConfigError(msg)
    if not _REGION.fullmatch(region):  # it becomes a part of the host's name
        msg = f"the AWS region {region!r} is none; give one such as us-east-1"
        raise ConfigError(msg)
    return region
