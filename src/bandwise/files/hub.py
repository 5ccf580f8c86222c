"""Models and weights by name on a hub, `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`, through the local cache."""

import contextlib
import os
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bandwise.errors import UsageError

PREFIX = "hf:"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
# Other formats can run code when they are loaded.
_WEIGHTS = "model.safetensors"
# What a release consists of; a repository may hold more, of which nothing is fetched.
_PATTERNS = ["*.json", "*.safetensors", "controls/*.json"]


def local_folder(source: Path | str) -> Path:
    """Return the folder of a model: the path itself, or where the cache has the repository that `hf:` names."""
    text = os.fspath(source)
    if not text.startswith(PREFIX):
        return Path(source)
    repository, revision = parse_name(text)
    with explain_hub(f"{text} cannot be fetched"):
        from huggingface_hub import snapshot_download

        return Path(snapshot_download(repository, revision=revision, allow_patterns=_PATTERNS))


def weights_file(repository: str, revision: str | None) -> Path:
    """Return the file of weights of a repository: the one in the cache where it is the newest or no hub is reached."""
    with explain_hub(f"the weights of {PREFIX}{repository} cannot be fetched"):
        from huggingface_hub import hf_hub_download

        return Path(hf_hub_download(repository, _WEIGHTS, revision=revision))


@contextlib.contextmanager
def explain_hub(what: str) -> Iterator[None]:
    """Say what could not be done, where a hub refuses it or cannot be reached."""
    from huggingface_hub.errors import HfHubHTTPError
    from huggingface_hub.utils import disable_progress_bars

    if not sys.stderr.isatty():
        disable_progress_bars()
    # The errors of whatever library the transfers go through.
    of_transfers: Any = HfHubHTTPError.__bases__
    try:
        yield
    # A ValueError is of a name or a card, a RuntimeError of a file, with the reason as its cause.
    except (*of_transfers, OSError, ValueError, RuntimeError) as error:
        status = error.response.status_code if isinstance(error, HfHubHTTPError) else 0
        remedy = "; log in with `hf auth login`, or set HF_TOKEN" if status in (401, 403) else ""
        said = " ".join(f"{error} {error.__cause__ or ''}".split())
        raise UsageError(f"{what}: {said[:300]}{remedy}") from error


def parse_name(text: str) -> tuple[str, str | None]:
    """Return the repository and the revision that a name on a hub says; the revision is None where it says none."""
    found = _NAME.fullmatch(text.removeprefix(PREFIX))
    if found is None:
        raise UsageError(f"{text!r} is no name on a hub; write {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return found[1], found[2]
