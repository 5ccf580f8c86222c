"""The published savings beside what a design gives, computed under the same conditions."""

from typing import Any

from bandwise.config import RunConfig
from bandwise.launch.plan import Plan
from bandwise.recipes.published import CLAIMS, Claim


def claims_beside(config: RunConfig, plan: Plan, whole: Plan) -> list[dict[str, Any]]:
    """Return the claims that are about rows like this one; none for other data sets and for whole images.

    Args:
        config: the row.
        plan: what it needs.
        whole: what the whole-image row of its family needs.
    """
    if config.split.stride == 1 or config.data.source not in ("imagenet1k", "imagenet21k"):
        return []
    found = [_memory(plan, whole), _batch(plan, whole)]
    if config.data.source == "imagenet21k":
        found.append(_storage(plan))
    return found


def _memory(plan: Plan, whole: Plan) -> dict[str, Any]:
    # The published figure names no batch; the one with which the whole-image row takes as much is comparable.
    batch = whole.memory.batch_ceiling(CLAIMS["memory"].before * 1e9)
    return _entry(
        CLAIMS["memory"],
        whole.memory.peak(batch) / 1e9,
        plan.memory.peak(batch) / 1e9,
        f"at {batch} images a step, with which {whole.facts['name']} takes as much as was published",
    )


def _batch(plan: Plan, whole: Plan) -> dict[str, Any]:
    return _entry(
        CLAIMS["batch"],
        whole.facts["batch_ceiling"],
        plan.facts["batch_ceiling"],
        f"on {plan.facts['gpu_memory_gb']:g} GB; published with powers of two",
    )


def _storage(plan: Plan) -> dict[str, Any]:
    raw, packed = plan.facts["bytes_per_node"] / 1e9, plan.facts["stored_bytes_per_node_estimated"] / 1e9
    return _entry(
        CLAIMS["storage"],
        CLAIMS["storage"].before,
        raw,
        f"raw pixels of one band; about {packed:.0f} GB with the codec; the published bands were lossy JPEG, and what "
        "stands before is the archive of originals",
    )


def _entry(claim: Claim, before: float, after: float, note: str) -> dict[str, Any]:
    ratio = max(before, after) / min(before, after) if min(before, after) > 0 else None
    return {
        "claim": claim.text,
        "published": {"before": claim.before, "after": claim.after, "ratio": claim.ratio, "unit": claim.unit},
        "this_design": {"before": before, "after": after, "ratio": ratio, "unit": claim.unit},
        "note": note,
    }
