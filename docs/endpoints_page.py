"""Writes docs/endpoints.md to standard output, or in its place with --write: its table anew."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

from headrace.registry import endpoints

if TYPE_CHECKING:
    from headrace.core.model import Endpoint

PAGE: Final = Path(__file__).with_name("endpoints.md")
BEGIN: Final = "<!-- Written by `nox -s endpoints-page` from registry/endpoints.toml. -->\n"
END: Final = "<!-- End of the table. -->\n"
HEAD: Final = "| endpoint | wire format | address | key from | differs |\n|---|---|---|---|---|\n"


def code(*words: str) -> str:
    """Words as they are typed, with commas between."""
    return ", ".join(f"`{word}`" for word in words)


def address(row: Endpoint) -> str:
    """The base URL, with what fills its blanks."""
    if row.base_url is None:
        return "started on this machine"
    query = "" if row.query is None else f"/…?{row.query}"
    usual = "".join(f"; `{name}` is `{value}` if not set" for name, value in row.defaults.items())
    return f"`{row.base_url}{query}`{usual}"


def key(row: Endpoint) -> str:
    """The variables of the key, and whether it is needed."""
    if not row.key_env:
        return "none"
    names = " or ".join(code(name) for name in row.key_env)
    return names if row.needs_key else f"{names}, if set"


def differs(row: Endpoint) -> str:
    """What the row says of its dialect."""
    said = []
    if row.auth == "aws":
        said.append(
            f"signed for the service {code(row.service or 'bedrock')} where there is no key"
        )
    elif row.auth not in {"bearer", "none", "x-api-key", "x-goog-api-key"}:
        said.append(f"key in the header {code(row.auth)}")
    names = dict(row.renames)
    if row.max_tokens_field != "max_tokens":
        names["max_tokens"] = row.max_tokens_field
    said += [f"{code(name)} is sent as {code(to)}" for name, to in sorted(names.items())]
    if row.unsupported:
        said.append(f"refuses {code(*row.unsupported)}")
    return "; ".join(said)


def line(row: Endpoint) -> str:
    """One endpoint as a line of the table."""
    cells = (code(row.name), code(row.wire), address(row), key(row), differs(row))
    return f"| {' | '.join(cells)} |\n"


def page() -> str:
    """The whole page with the table as the rows are now."""
    before, _, rest = PAGE.read_text("utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    table = "".join(line(row) for row in endpoints.known().values())
    return f"{before}{BEGIN}\n{HEAD}{table}\n{END}{after}"


if __name__ == "__main__":
    if "--write" in sys.argv:
        PAGE.write_text(page(), "utf-8")
    else:
        sys.stdout.write(page())
