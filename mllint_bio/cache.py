"""The result cache: a run in which nothing changed reads one record and imports neither LibCST, astroid nor any rule.

A record belongs to one question (working folder, paths asked for, settings, release, installed rules) and holds the finished
report together with the size and modification time of every file that the answer rests on: the files checked, the files that
they import, and the folders of both (a module that appears changes what an import means). Any difference is a miss.

The cache never decides anything: a damaged, stale or unwritable record costs time, not correctness.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from hashlib import blake2b
from pathlib import Path
from typing import Any

import mllint_bio
from mllint_bio.diagnostics import INTERNAL_ERROR, Report, from_record, to_record
from mllint_bio.sources import Problem

ENVIRONMENT = "MLLINT_BIO_CACHE_DIR"
KEEP_SECONDS = 30 * 24 * 3600
LAYOUT = 1  # of the records; raise it when their form changes

Signature = dict[str, list[int]]


class CacheWarning(Exception):
    """The cache cannot be used; the message says why. The check goes on without it."""


def folder() -> Path:
    """Where records live: `$MLLINT_BIO_CACHE_DIR`, else the user's cache folder of this platform."""
    if named := os.environ.get(ENVIRONMENT):
        return Path(named)
    from platformdirs import user_cache_path

    return user_cache_path("mllint-bio", appauthor=False)


def question(*parts: object) -> str:
    """Name of the record for a question: a digest of its parts, the release, the interpreter and the installed rules."""
    material = [LAYOUT, mllint_bio.__version__, sys.version, str(Path.cwd()), *parts, *_installed_rules()]
    return blake2b(repr(material).encode("utf-8", "surrogatepass"), digest_size=20).hexdigest()


def _installed_rules() -> Iterator[tuple[str, ...]]:
    """Everything of which the answer is a function besides the checked code: rule packages and this package, by file."""
    from importlib.metadata import entry_points
    from importlib.util import find_spec

    packages = {"mllint_bio"}
    for point in sorted(entry_points(group="mllint_bio.rules"), key=lambda p: (p.name, p.value)):
        yield point.name, point.value, point.dist.version if point.dist else ""
        packages.add(point.module.partition(".")[0])
    for package in sorted(packages):
        with suppress(ImportError, ValueError):  # a broken plugin is reported by the registry, not here
            spec = find_spec(package)
            places = list(spec.submodule_search_locations or ()) if spec else []
            files = [spec.origin] if spec and spec.origin and not places else []
            files += [
                os.path.join(top, f)
                for p in places
                for top, _, names in os.walk(p)
                for f in names
                if f.endswith((".py", ".toml"))
            ]
            for path, (size, changed) in sorted(sign(files).items()):
                yield path, str(size), str(changed)


def sign(paths: Iterable[str | os.PathLike[str]]) -> Signature:
    """Size and modification time (nanoseconds) of each path; [-1, -1] for one that is not there."""
    signature: Signature = {}
    for path in paths:
        try:
            status = os.stat(path)
            signature[os.path.abspath(path)] = [status.st_size, status.st_mtime_ns]
        except OSError:
            signature[os.path.abspath(path)] = [-1, -1]
    return signature


def recall(name: str, files: Iterable[str | os.PathLike[str]]) -> Report | None:
    """The report stored under this name, if it was made of exactly these files and nothing that it rests on has changed.

    Raises CacheWarning for a damaged record.
    """
    path = folder() / f"{name}.json"
    try:
        record = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise CacheWarning(f"cache record {path} cannot be read and is ignored: {error}") from error
    try:
        stored, signature, body = record["files"], record["signature"], record["report"]
        if stored != sorted(os.path.abspath(f) for f in files) or signature != sign(signature):
            return None
        report = _report(body)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CacheWarning(f"cache record {path} is damaged and is ignored ({type(error).__name__}: {error})") from error
    with suppress(OSError):
        os.utime(path)  # a record in use does not expire
    return report


def remember(name: str, files: Iterable[str | os.PathLike[str]], report: Report, started_ns: int) -> None:
    """Store a report. `started_ns` is the wall clock before the first file was read: what changed since is not trusted.

    Raises CacheWarning when the cache folder cannot be written.
    """
    if any(d.code == INTERNAL_ERROR for d in report.diagnostics) or any(p.code in ("crash", "timeout") for p in report.problems):
        return  # may be gone next time
    asked = sorted(os.path.abspath(f) for f in files)
    others = [os.path.abspath(v) for v in report.visited]
    signature = sign([*asked, *others, *{os.path.dirname(p) for p in (*asked, *others)}])
    if any(changed >= started_ns for _, changed in signature.values()):
        return
    record = {"files": asked, "signature": signature, "report": _report_record(report)}
    target = folder()
    try:
        target.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=target, suffix=".tmp")
        try:
            with os.fdopen(handle, "w", encoding="ascii") as stream:
                json.dump(record, stream)
            os.replace(temporary, target / f"{name}.json")
        except BaseException:
            with suppress(OSError):
                os.unlink(temporary)
            raise
    except OSError as error:
        raise CacheWarning(f"cache folder {target} cannot be written: {error}") from error
    _expire(target)


def _expire(target: Path) -> None:
    oldest = time.time() - KEEP_SECONDS
    for entry in os.scandir(target):
        with suppress(OSError):
            if entry.name.endswith((".json", ".tmp")) and entry.stat().st_mtime < oldest:
                os.unlink(entry.path)


def _report_record(report: Report) -> dict[str, Any]:
    return {
        "diagnostics": [to_record(d) for d in report.diagnostics],
        "problems": [[p.path, p.row, p.column, p.message, p.cell, p.code] for p in report.problems],
        "checked": report.checked,
        "skipped": [list(s) for s in report.skipped],
        "suppressed": report.suppressed,
        "failed": sorted(report.failed),
        "visited": sorted(report.visited),
    }


def _report(record: dict[str, Any]) -> Report:
    return Report(
        diagnostics=tuple(from_record(d) for d in record["diagnostics"]),
        problems=tuple(Problem(*p) for p in record["problems"]),
        checked=int(record["checked"]),
        skipped=tuple((path, reason) for path, reason in record["skipped"]),
        suppressed=int(record["suppressed"]),
        failed=frozenset(record["failed"]),
        visited=frozenset(record["visited"]),
    )
