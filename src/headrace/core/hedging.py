"""When a slow request is sent a second time, and what that may cost: what a user may set."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from headrace.core.bounds import Number  # noqa: TC001  pydantic reads it
from headrace.core.checked import Checked


class HedgeSettings(Checked):
    """When a request is sent a second time because its answer takes long.

    After as long as the part ``quantile`` of the first copies' answers took on its route (in
    seconds from their admission by the limits), once enough have come to know. All second copies
    together cost at most ``share`` of all that is spent: in dollars where prices are known, else in
    requests. Raises ``ConfigError``.
    """

    share: Annotated[Number, Field(gt=0, le=1)] = 0.05
    quantile: Annotated[Number, Field(ge=0.5, le=0.99)] = 0.95

    @classmethod
    def read(cls, given: object) -> object:
        """``True`` stands for the usual settings, ``False`` for none, a number for a share."""
        if isinstance(given, bool):
            return cls() if given else None
        if isinstance(given, int | float):
            return {"share": given}
        if given is None or isinstance(given, cls | dict):
            return given
        msg = "it must be True, a share such as 0.05, or HedgeSettings"
        raise ValueError(msg)
