"""Text that can be sent, and how a value is named in an error's sentence."""

from __future__ import annotations

from headrace.core.errors import BadRowError


def plain(text: object) -> str:
    """``text`` as a plain string (not of a class of its own), if it is Unicode."""
    if not isinstance(text, str):
        msg = f"the text of a part must be a string, not {kind_of(text)}"
        raise BadRowError(msg)
    bare = str.__str__(text)
    try:
        bare.isascii() or bare.encode()
    except UnicodeEncodeError:
        msg = (
            "the text holds a lone surrogate, which is not Unicode and cannot be sent;"
            " mend or drop the character"
        )
        raise BadRowError(msg) from None
    return bare


def kind_of(value: object) -> str:
    """What a value is, in an error's sentence."""
    return "nothing" if value is None else type(value).__name__
