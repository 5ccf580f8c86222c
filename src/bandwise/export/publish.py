"""What of a run, of a released model or of a store goes to a repository of a hub, and the way there."""

import os
from collections.abc import Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import Literal

from bandwise.errors import UsageError
from bandwise.export.bundle import CARD_NAME, bundle_files
from bandwise.export.card import data_card
from bandwise.files.hub import explain_hub
from bandwise.files.regular import read_bytes
from bandwise.runs.run import open_run
from bandwise.serving.release import RELEASE_NAME, is_release, read_description, read_files
from bandwise.store.layout import MANIFEST_NAME, inside
from bandwise.store.manifest import Manifest

Kind = Literal["model", "dataset"]
Files = Mapping[str, bytes | Path]

# What an earlier model or store may have left in a repository; anything else there belongs to its owner.
_OURS = ("controls/*.json", "head.safetensors", "results.json", "band-*/*.parquet", "commits/*.json")


def files_to_publish(
    folder: Path, repository: str, controls: Sequence[Path] = (), licence: str | None = None
) -> tuple[Kind, Files]:
    """Return what is published of a folder: a run as a released model, a released model or a store as it is.

    The card names the repository. That of a released model, which may have been edited, is otherwise left alone.
    """
    if (folder / MANIFEST_NAME).exists():
        return "dataset", _of_store(folder, repository, licence)
    place = f"hf:{repository}"
    if not is_release(folder):
        return "model", bundle_files(open_run(folder), place, controls, licence)
    if controls or licence:
        raise UsageError(f"{folder} has its card already; give --controls and --license to `bandwise export`")
    card = read_bytes(folder / CARD_NAME).decode().replace("from_pretrained('.')", f"from_pretrained({place!r})")
    release = read_files(folder, read_description(folder))
    return "model", {**release, CARD_NAME: card.encode(), RELEASE_NAME: read_bytes(folder / RELEASE_NAME)}


def _of_store(folder: Path, repository: str, licence: str | None) -> Files:
    manifest = Manifest.read(folder)
    files: dict[str, bytes | Path] = {name: inside(folder, name) for name in manifest.files}
    own = read_bytes(folder / CARD_NAME).decode()
    card = data_card(manifest, own, repository, licence).encode()
    return {**files, CARD_NAME: card, MANIFEST_NAME: folder / MANIFEST_NAME}


def publish(files: Files, kind: Kind, repository: str, *, private: bool = False) -> str:
    """Send files to a repository in one commit, which is there whole or not at all; return the address of the commit.

    The repository is made where there is none. What is there already is not sent again.
    """
    with explain_hub(f"hf:{repository} cannot be published"):
        from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi

        api = HfApi()
        api.create_repo(repository, repo_type=kind, private=private or None, exist_ok=True)
        there = api.list_repo_files(repository, repo_type=kind)
        stale = [name for name in there if name not in files and any(fnmatch(name, own) for own in _OURS)]
        operations = [
            *(
                CommitOperationAdd(name, os.fspath(own) if isinstance(own, Path) else own)
                for name, own in files.items()
            ),
            *map(CommitOperationDelete, stale),
        ]
        return api.create_commit(repository, operations, commit_message="Bandwise", repo_type=kind).commit_url
