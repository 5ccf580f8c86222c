"""Models by their name on a hub, `hf:OWNER/NAME` or `hf:OWNER/NAME@REVISION`, through the local cache."""

import os
import re
from pathlib import Path

from bandwise.errors import UsageError

PREFIX = "hf:"
_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w./-]+))?")
# What a release consists of; a repository may hold more, of which nothing is fetched.
_PATTERNS = ["*.json", "*.safetensors", "controls/*.json"]


def local_folder(source: Path | str) -> Path:
    """Return the folder of a model: the path itself, or where the cache has the repository that `hf:` names."""
    text = os.fspath(source)
    if not text.startswith(PREFIX):
        return Path(source)
    repository, revision = parse_name(text)
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(repository, revision=revision, allow_patterns=_PATTERNS))
    except (HfHubHTTPError, LocalEntryNotFoundError, OSError) as error:
        raise UsageError(f"{text} cannot be fetched: {' '.join(str(error).split())[:300]}") from error


def parse_name(text: str) -> tuple[str, str | None]:
    """Return the repository and the revision that a name on a hub says; the revision is None where it says none."""
    found = _NAME.fullmatch(text.removeprefix(PREFIX))
    if found is None:
        raise UsageError(f"{text!r} is no name on a hub; write {PREFIX}OWNER/NAME or {PREFIX}OWNER/NAME@REVISION")
    return found[1], found[2]
