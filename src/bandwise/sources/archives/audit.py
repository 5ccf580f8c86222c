"""What a source holds, in numbers, beside what is published about it."""

from collections.abc import Mapping
from typing import Any

from bandwise.sources.archives.parquet import ParquetSource
from bandwise.sources.archives.tarsource import TarSource
from bandwise.sources.listing import Listing
from bandwise.sources.samples import Source


def audit_source(source: Source) -> dict[str, Any]:
    """Count classes, training and reported pictures, ready for JSON; ImageNets say more (`audit21k` has the keys)."""
    if isinstance(source, TarSource | ParquetSource):
        return dict(source.audit)
    val = Listing.of(source.entries()).val
    return {
        "source": source.fingerprint["kind"],
        "classes": len(source.classes),
        "train": int((~val).sum()),
        "val": int(val.sum()),
    }


def audit_text(audit: Mapping[str, Any]) -> str:
    """Say in a few lines what an audit found."""
    if audit["source"] == "imagenet21k":
        return _text_21k(audit)
    line = f"{audit['source']}: {audit['classes']:,} classes, {audit['train']:,} to train + {audit['val']:,} reported"
    if "published" not in audit:
        return line
    said = audit["published"]
    figures = f"; published: {said['classes']:,} classes, {said['train']:,} + {said['val']:,}"
    return line + (", as published" if audit["as_published"] else figures)


def _text_21k(audit: Mapping[str, Any]) -> str:
    lines = [
        f"imagenet21k: variant {audit['variant']}",
        *(
            f"  {word:<8} {audit[word]['classes']:>7,} classes {audit[word]['images']:>12,} pictures"
            for word in ("archive", "dropped", "kept")
        ),
        f"  {audit['train']:,} to train + {audit['val']:,} to validate ({audit['val_images']} a class)",
    ]
    lines += [
        f"  published, {name}: {said['classes']:,} classes, {said['images']:,} pictures, "
        f"{said['train']:,} + {said['val']:,}"
        for name, said in audit["published"].items()
        if audit["variant"] in (name, "unknown")
    ]
    return "\n".join(lines + ([f"  {audit['remark']}"] if audit["remark"] else []))
