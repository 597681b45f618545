"""A name as one segment of a URL's path: a model's id, an ARN."""

from __future__ import annotations

from urllib.parse import quote

from headrace.core.errors import RejectedError


def segment(name: str, of: str = "a model", instead: str = "its id or its ARN") -> str:
    """``name`` with everything quoted but ASCII letters, digits and ``-._~``, as AWS wants it.

    An ARN's slashes and the colon before a version are quoted too. Raises ``RejectedError`` for
    what no path can hold as one segment: ``of`` is whose name that is, ``instead`` what to give.
    """
    if name in {"", ".", ".."}:
        msg = f"{name!r} cannot stand in a URL as the name of {of}; give {instead}"
        raise RejectedError(msg)
    try:
        return quote(name, safe="")
    except UnicodeEncodeError:
        msg = f"{name!r}, the name of {of}, is not Unicode; give {instead}"
        raise RejectedError(msg) from None
