# /// script
# dependencies = ["nox[uv]"]
# ///
"""Every check of the house: ``nox`` alone before each change, ``nox -l`` lists what CI adds.

The lines above let nox run this file with uv, which fills the environments in a quarter of
the time.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final
from zipfile import ZipFile

import nox

nox.options.default_venv_backend = "uv|virtualenv"
nox.options.error_on_missing_interpreters = True

USE_ALL_NAMES = "import headrace; print([getattr(headrace, name) for name in headrace.__all__])"
PYPROJECT = nox.project.load_toml("pyproject.toml")
VERSIONS = ("3.11", "3.12", "3.13", "3.14")
SCRIPTS = ("src", "tests", "benchmarks", "examples", "docs", "noxfile.py")
# Nothing may hang in CI: a command that takes longer than this, in seconds, is stuck.
STUCK: Final = 600


def at_most(seconds: int = STUCK) -> tuple[str, ...]:
    """What ends a command after so long, where the machine has it."""
    return ("timeout", "--kill-after=10", str(seconds)) if shutil.which("timeout") else ()


# They have sessions of their own: these take seconds to import, for each worker.
ELSEWHERE = ("--ignore=tests/test_docs.py", "--ignore-glob=*/test_vendor_*.py")


def runnable(path: str, version: str) -> bool:
    """Is ``path`` an interpreter of ``version`` that really starts? A shim may not."""
    asked = [path, "-c", "import sys; print('%d.%d' % sys.version_info[:2])"]
    try:
        said = subprocess.run(asked, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return False
    return said.stdout.strip() == version


def interpreters() -> dict[str, str]:
    """The absolute path of an interpreter for each supported version that is on this machine."""
    found: dict[str, str] = {}
    for version in VERSIONS:
        name = f"python{version}"
        on_path = [shutil.which(name, path=folder) for folder in os.get_exec_path()]
        managed = sorted(Path.home().glob(f".pyenv/versions/{version}.*/bin/{name}"), reverse=True)
        for path in [sys.executable, *filter(None, on_path), *map(str, managed)]:
            if runnable(path, version):
                found[version] = path
                break
    return found


PYTHONS = interpreters()
PARAMS = [nox.param(path, id=version) for version, path in PYTHONS.items()]
OLDEST = next(iter(PYTHONS.values()), sys.executable)
# What differs between interpreters shows on the first and the last; CI asks those between too.
ENDS = dict.fromkeys([*PYTHONS][:1] + [*PYTHONS][-1:])
nox.options.sessions = [
    "lint",
    "types",
    "floors",
    *(f"tests({version})" for version in ENDS),
    "vendors",
    "docs",
    "package",
]


def group(*names: str) -> list[str]:
    """The requirements of dependency groups of pyproject.toml."""
    return list(nox.project.dependency_groups(PYPROJECT, *names))


SUITE = ("-e", ".[local,mcp,prices,redis,schema,tokens]", *group("test"))
WHOLE = ("pytest", "-n", "4", "--dist=loadgroup", *ELSEWHERE)


def install(session: nox.Session) -> None:
    """What the suite needs, compiled once: or each worker would compile all that it imports."""
    unpack_redis()
    session.install(*SUITE, env={"UV_COMPILE_BYTECODE": "1"})


REDIS: Final = Path(".nox/redis").absolute()
# Of Debian and what comes from it; the last three are what the first two need.
OF_REDIS: Final = ("redis-server", "redis-tools", "libjemalloc2", "liblzf1", "libatomic1")


def unpack_redis() -> None:
    """Put a Redis server where the tests look for one, if there is none and it can be had."""
    if shutil.which("redis-server") or not shutil.which("apt-get") or REDIS.exists():
        return
    with tempfile.TemporaryDirectory() as folder:
        apt = ["apt-get", "download", "--quiet", *OF_REDIS]
        got = subprocess.run(apt, cwd=folder, check=False, timeout=120)
        if got.returncode == 0:
            for package in Path(folder).glob("*.deb"):
                command = ["dpkg", "--extract", str(package), f"{folder}/whole"]
                subprocess.run(command, check=True, timeout=60)
            REDIS.parent.mkdir(exist_ok=True)
            shutil.move(f"{folder}/whole", REDIS)


def run(
    session: nox.Session, *command: str, env: dict[str, str] | None = None, within: int = STUCK
) -> None:
    """Run ``command`` in the session, and no longer than ``within`` seconds."""
    # Tests start many interpreters: without bytecode each would compile all that it imports.
    env = {"PYTHONDONTWRITEBYTECODE": "", **(env or {})}
    limit = at_most(within)
    session.run(*limit, *command, env=env, external=bool(limit))


@nox.session(python=OLDEST)
def lint(session: nox.Session) -> None:
    """Style, format, spelling, and the package's own description."""
    session.install(*group("lint"))
    run(session, "ruff", "check", ".")
    run(session, "ruff", "format", "--check", ".")
    run(session, "codespell")
    run(session, "validate-pyproject", "pyproject.toml")


@nox.session(python=OLDEST)
def types(session: nox.Session) -> None:
    """Strict types, on everything."""
    session.install(".", *group("types", "test"))
    folders = [name for name in SCRIPTS if name.endswith(".py") or any(Path(name).rglob("*.py"))]
    run(session, "mypy", *folders)


@nox.session(python=OLDEST)
def floors(session: nox.Session) -> None:
    """Imports point down, and each library has one door."""
    session.install(*group("floors"))
    run(session, "lint-imports", "--no-logo", env={"PYTHONPATH": "src"})


@nox.session
@nox.parametrize("python", PARAMS)
def tests(session: nox.Session) -> None:
    """The suite; alone, ``nox`` runs it on the oldest and the newest interpreter here.

    With arguments (``nox -s tests -- -k name``) only those tests run.
    """
    install(session)
    if session.posargs:
        run(session, "pytest", *session.posargs)
    elif session.python == OLDEST:
        run(session, *WHOLE, "-m", "not thorough")
    else:
        # In less time: fewer examples, and not what was shown already.
        few = "not real and not once and not thorough"
        run(session, *WHOLE, "--hypothesis-profile=quick", "-m", few)


@nox.session(python=OLDEST, default=False)
def thorough(session: nox.Session) -> None:
    """What repeats many times over what the suite covers: every dialect, every place of a cut."""
    install(session)
    run(session, *WHOLE, "-m", "thorough", within=2 * STUCK)


@nox.session(python=OLDEST, default=False)
def coverage(session: nox.Session) -> None:
    """How much of the code the suite runs; measuring takes two or three times as long."""
    install(session)
    data = {"COVERAGE_FILE": str(Path(session.create_tmp()).resolve() / "coverage")}
    run(session, "coverage", "erase", env=data)
    suite = ("coverage", "run", "-m", *WHOLE, "-m", "not thorough")
    run(session, *suite, env=data, within=3 * STUCK)
    run(session, "coverage", "combine", "--quiet", env=data)
    run(session, "coverage", "report", "--fail-under=95", env=data)


@nox.session(python=OLDEST)
def vendors(session: nox.Session) -> None:
    """What goes out fits the published types of the vendors' SDKs, and what those write is read."""
    session.install("-e", ".[prices]", *group("test", "vendors"))
    run(session, "pytest", *map(str, sorted(Path("tests/wire").glob("test_vendor_*.py"))))


@nox.session(python=OLDEST)
def docs(session: nox.Session) -> None:
    """What the documentation shows runs: docstrings, README, docs, examples."""
    install(session)
    run(session, "pytest", "-n", "2", "--doctest-modules", "src/headrace", "tests/test_docs.py")


@nox.session(python=OLDEST)
def package(session: nox.Session) -> None:
    """Build the wheel, look inside, install it in a clean environment, and use it."""
    session.install(*group("package"))
    with tempfile.TemporaryDirectory() as folder:
        run(session, "python", "-m", "build", "--wheel", "--outdir", folder, ".")
        [wheel] = Path(folder).glob("*.whl")
        check_contents(session, wheel)
        run(session, "python", "-m", "virtualenv", "--quiet", f"{folder}/clean")
        programs = Path(folder, "clean", "Scripts" if os.name == "nt" else "bin")
        for program, *arguments in (
            ("python", "-m", "pip", "install", "--quiet", str(wheel)),
            ("python", "-c", USE_ALL_NAMES),
            ("headrace", "--help"),
        ):
            session.run(*at_most(), str(programs / program), *arguments, external=True)


def check_contents(session: nox.Session, wheel: Path) -> None:
    """Every file of the package is in the wheel, and nothing else but its metadata."""
    source = Path("src")
    kept = (path for path in source.rglob("*") if path.is_file() and path.suffix != ".pyc")
    expected = {path.relative_to(source).as_posix() for path in kept}
    inside = {name for name in ZipFile(wheel).namelist() if ".dist-info/" not in name}
    if inside != expected or "headrace/py.typed" not in inside:
        session.error(f"the wheel and src differ in {sorted(inside ^ expected)}")


@nox.session(python=OLDEST, default=False)
def bench(session: nox.Session) -> None:
    """The figures, against bare aiohttp and the peers; arguments go to ``python -m benchmarks``."""
    unpack_redis()
    session.install("-e", ".[local,redis,bench]", *group("test"))
    session.run("python", "-m", "benchmarks", *session.posargs)


@nox.session(python=OLDEST, default=False)
def sweep(session: nox.Session) -> None:
    """The suite with fresh dice and thirty times the examples; takes long."""
    install(session)
    session.run(
        "pytest",
        "-n",
        "2",
        "--dist=loadgroup",
        "--hypothesis-profile=sweep",
        "--timeout=1200",
        *session.posargs,
    )


@nox.session(name="endpoints-page", python=OLDEST, default=False)
def endpoints_page(session: nox.Session) -> None:
    """Write the table in docs/endpoints.md anew from the rows."""
    session.install("-e", ".")
    session.run("python", "docs/endpoints_page.py", "--write")


@nox.session(name="errors-page", python=OLDEST, default=False)
def errors_page(session: nox.Session) -> None:
    """Write docs/errors.md anew from the error tree."""
    session.install("-e", ".")
    with Path("docs/errors.md").open("w", encoding="utf-8") as page:
        session.run("python", "docs/errors_page.py", stdout=page)


@nox.session(name="features-page", python=OLDEST, default=False)
def features_page(session: nox.Session) -> None:
    """Write docs/features.md anew from codecs and rows."""
    session.install("-e", ".[prices]")
    with Path("docs/features.md").open("w", encoding="utf-8") as page:
        session.run("python", "docs/features_page.py", stdout=page)
