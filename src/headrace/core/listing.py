"""What an endpoint says of its models, and of the files that it keeps."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from headrace.core.model import Price


@dataclass(frozen=True, slots=True)
class ListedModel:
    """A model that an endpoint lists. What the vendor does not tell is None.

    ``id`` is what a client takes ("endpoint/name"), ``context_size`` and ``max_output_tokens`` are
    tokens. ``metadata`` is the row as it came.
    """

    id: str
    context_size: int | None = None
    max_output_tokens: int | None = None
    price: Price | None = None
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that an endpoint keeps; ``size`` is in bytes, ``created_at`` seconds since 1970."""

    id: str
    name: str | None = None
    size: int | None = None
    purpose: str | None = None
    created_at: float | None = None
    metadata: Mapping[str, object] = field(default_factory=dict, repr=False)
