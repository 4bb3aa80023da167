"""What went wrong with the hub, in one line that says what to do."""

from __future__ import annotations

import errno
from collections.abc import Iterator

from unspool.errors import ModelError, UnknownName, UnspoolError

BROKEN_OFF = {"RemoteProtocolError", "ReadError", "ReadTimeout", "ChunkedEncodingError", "IncompleteRead"}
"""Errors of connections that ended before their answer did."""


class Unreachable(ModelError):
    """A model is not in the cache, and the hub cannot be asked."""


class Missing(UnknownName):
    """The hub has no such model, or does not show it."""


def as_ours(error: BaseException, repository: str, revision: str | None, endpoint: str, cache: str) -> UnspoolError:
    """An error of huggingface_hub, or of what it calls, as one of unspool's.

    The library's errors are told by their names, which stay the same while their homes and bases move.
    """
    kinds = {kind.__name__ for e in _chain(error) for kind in type(e).__mro__}
    name = repository + (f"@{revision}" if revision else "")
    if "GatedRepoError" in kinds:
        return ModelError(
            f"{name} is gated: accept its terms on {endpoint}/{repository} and set HF_TOKEN to a token of your account"
        )
    if "RevisionNotFoundError" in kinds:
        return UnknownName(f"{repository} has no revision {revision!r} on {endpoint}; give a branch, a tag or a commit that it has")
    if "RepositoryNotFoundError" in kinds:
        return Missing(f"there is no model {repository!r} on {endpoint}; if it is private, set HF_TOKEN")
    if "HFValidationError" in kinds:
        return UnknownName(f"{repository!r} is no name of the hub: {_first_line(error)}")
    if "IncompleteSnapshotError" in kinds:
        return ModelError(f"the copy of {name} in {cache} is not complete, and {_why(error, endpoint, kinds)}")
    if status := _status(error):
        if status in (401, 403):
            return ModelError(f"{endpoint} refuses to show {name} ({status}): set HF_TOKEN to a token that may read it")
        return Unreachable(f"{name} is not in the cache {cache}, and {endpoint} answers with an error ({status}); try again later")
    if problem := _of_disk(error, name, cache):
        return problem
    if kinds & {"LocalEntryNotFoundError", "OfflineModeIsEnabled"}:
        return Unreachable(f"{name} is not in the cache {cache}, and {_why(error, endpoint, kinds)}")
    if "Consistency check failed" in str(error) or kinds & BROKEN_OFF:
        return ModelError(f"the download of {name} broke off ({_first_line(error)}); run again, files that are whole are kept")
    return ModelError(f"cannot fetch {name} from {endpoint}: {_first_line(error)}; run again, files that are whole are kept")


def _of_disk(error: BaseException, name: str, cache: str) -> ModelError | None:
    if isinstance(error, UserWarning):
        return ModelError(f"no space for {name} in {cache}: {_first_line(error)} Free some, or set HF_HUB_CACHE to another disk")
    if not isinstance(error, OSError):
        return None
    said = f"{error.filename or cache}: {error.strerror}"
    if error.errno in (errno.ENOSPC, errno.EDQUOT):
        return ModelError(f"no space for {name}: {said}; free some, or set HF_HUB_CACHE to another disk")
    if error.errno in (errno.EACCES, errno.EROFS, errno.EPERM, errno.ENOTDIR, errno.EEXIST):
        return ModelError(f"cannot keep {name}: {said}; set HF_HUB_CACHE to a folder of yours")
    return None


def _why(error: BaseException, endpoint: str, kinds: set[str]) -> str:
    if "OfflineModeIsEnabled" in kinds:
        return "HF_HUB_OFFLINE forbids to fetch it"
    return f"{endpoint} cannot be reached ({_first_line(list(_chain(error))[-1])})"


def _status(error: BaseException) -> int:
    """The status of the hub's answer, if it answered with an error."""
    for e in _chain(error):
        if (status := getattr(getattr(e, "response", None), "status_code", 0)) >= 400:
            return int(status)
    return 0


def _chain(error: BaseException) -> Iterator[BaseException]:
    """An error and what caused it."""
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__


def _first_line(error: BaseException) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
