"""A store at an address: its documents and the bands that are needed, in a folder of this machine."""

from pathlib import Path

from bandwise.config import format_bands
from bandwise.errors import UsageError
from bandwise.files.atomic import require_space, require_writable, write_bytes
from bandwise.files.locks import waiting_lock
from bandwise.files.regular import sha256_bytes
from bandwise.files.remote import Expected, Remote
from bandwise.progress import say
from bandwise.store.layout import CARD_NAME, MANIFEST_NAME, inside
from bandwise.store.manifest import Manifest
from bandwise.store.repair import derived_documents


def fetch_store(address: str, bands: tuple[int, ...], home: Path) -> Path:
    """Return the folder of a store with some of its bands, fetched from an address as far as they are not there.

    Args:
        address: of the folder of the store, such as `s3://bucket/store`.
        bands: whose files are needed; all documents are fetched in any case.
        home: the folder in which fetched stores lie, each by the hash of its manifest: whatever address it came from,
            the same store is fetched once, and a store that has got more bands since lies beside the one without.

    Raises:
        UsageError: there is no store, it lacks a band, or the address cannot be used.
        CorruptionError: a file is not the one that the manifest describes.
        Preempted: the transfer has ended; the same call goes on.
    """
    remote = Remote(address)
    content = remote.read(MANIFEST_NAME)
    folder = home / sha256_bytes(content)[:32]
    require_writable(folder)
    with waiting_lock(folder, address):
        if not (folder / MANIFEST_NAME).exists():
            write_bytes(folder / MANIFEST_NAME, content)
        manifest = Manifest.read(folder)
        # The card of a published store is for people, who may have edited it; here it is as it was written.
        if not (folder / CARD_NAME).exists() and (card := derived_documents(manifest).get(CARD_NAME)):
            write_bytes(folder / CARD_NAME, card)
        if missing := tuple(sorted(set(bands) - set(manifest.bands))):
            raise UsageError(
                f"{address} holds the bands {format_bands(manifest.bands)}; {format_bands(missing)} are missing"
            )
        names = {
            name: Expected(facts.bytes, facts.sha256)
            for name, facts in manifest.files_of(bands).items()
            if inside(folder, name)
        }
        require_space(folder, sum(expected.bytes for expected in names.values()))
        fetched = remote.fetch(names, folder, "fetch")
    say(f"{address}: {fetched} bytes fetched for bands {format_bands(bands) or 'none'}, in {folder}")
    return folder
