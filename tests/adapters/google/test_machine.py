"""Tokens of a machine of Google's, and a machine without google-auth."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import TYPE_CHECKING, Final

import pytest

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once


class Metadata(BaseHTTPRequestHandler):
    """Answers as the metadata server of Google's machines does."""

    def do_GET(self) -> None:
        path = self.path.partition("?")[0].removeprefix("/computeMetadata/v1")
        told: dict[str, object] = {
            "/project/project-id": "of-the-machine",
            "/universe/universe-domain": "googleapis.com",
            "/instance/service-accounts/default/": {"email": "m@example.com", "scopes": []},
            "/instance/service-accounts/default/token": {
                "access_token": "ya29.of-the-machine",
                "expires_in": 3600,
                "token_type": "Bearer",
            },
        }
        said = told.get(path, "")
        body = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        kind = "text/plain" if isinstance(said, str) else "application/json"
        self.send_response(200 if path in told or path in {"", "/"} else 404)
        self.send_header("Metadata-Flavor", "Google")
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's own name
        del format, args


ON_A_MACHINE: Final = """
import asyncio
from headrace.adapters import google_auth
from headrace.registry import resolve

route = resolve.route(resolve.model_row("vertex/m"), resolve.Place())
ready, _ = asyncio.run(google_auth.admitted(route, None))
print(ready.base_url, ready.key.secret.reveal())
"""


def test_a_machine_of_google_has_a_token_of_its_own(tmp_path: Path) -> None:
    with ThreadingHTTPServer(("127.0.0.1", 0), Metadata) as server:
        Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        address = f"127.0.0.1:{server.server_port}"
        # Read by google-auth when it is imported, and so a program of its own.
        environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("GOOGLE_", "NO_GCE"))},
            "GCE_METADATA_HOST": address,
            "GCE_METADATA_IP": address,
            "CLOUDSDK_CONFIG": str(tmp_path),
        }
        try:
            done = subprocess.run(
                [sys.executable, "-c", ON_A_MACHINE],
                env=environment,
                capture_output=True,
                text=True,
                check=False,
                timeout=50,
            )
        finally:
            server.shutdown()
    assert done.returncode == 0, done.stderr
    url, token = done.stdout.split()
    assert url.endswith("/projects/of-the-machine/locations/global/publishers/google")
    assert token == "ya29.of-the-machine"


def test_without_the_extra_a_sentence_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "google").mkdir()
    (tmp_path / "google" / "__init__.py").touch()  # hides what is installed
    script = f"""{ON_A_MACHINE.partition("ready")[0]}
from headrace.adapters import keys
from headrace.core.errors import HeadraceError
for ask in (keys.check, lambda route: asyncio.run(google_auth.admitted(route, None))):
    try:
        ask(route)
    except HeadraceError as error:
        print(error.code, error.message)
"""
    places = os.pathsep.join([str(tmp_path), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-c", script],
        env={**os.environ, "PYTHONPATH": places},
        capture_output=True,
        text=True,
        check=True,
        timeout=50,
    )
    before, after = done.stdout.splitlines()
    assert before.startswith("config vertex/m needs google-auth to get a token; install headrace[v")
    assert after.startswith("gone vertex/m: Vertex needs google-auth to get a token; install head")
