"""A plan as lines for a terminal."""

from typing import Any

from bandwise.report.units import amount, seconds

_MIB = 1 << 20


def plan_text(result: dict[str, Any]) -> str:
    """Lay out what `bandwise plan` found; "one" is the largest branch."""
    memory, hours = result["memory"], result["hours"]
    stem = f", {result['stem']} stem" if result["model"].startswith("resnet") else ""
    rows = [
        ("", "one branch", "all"),
        ("parameters", *_pair(result, "parameters", "parameters_all")),
        ("MACs an image", amount(result["gmacs"] * 1e9), amount(result["gmacs_all"] * 1e9)),
        (
            "activations an image",
            f"{result['activation_bytes_per_image'] / _MIB:.2f} MiB",
            f"{result['activation_bytes_per_image_all'] / _MIB:.2f} MiB",
        ),
        ("data, raw pixels", *_pair(result, "bytes_per_node", "bytes_all", "B")),
        (
            f"data, {result['codec']}, estimated",
            *_pair(result, "stored_bytes_per_node_estimated", "stored_bytes_all_estimated", "B"),
        ),
    ]
    if hours is not None:
        rows.append(("training", seconds(3600 * hours["per_branch"]), seconds(3600 * hours["summed"])))
    lines = [
        f"{result['name']}: {result['branches']} x {result['model']}{stem}, {result['input_px']} px, "
        f"{result['classes']:,} classes, {result['epochs']} epochs",
        *(f"  {name:<26}{one:>14}" + (f"{every:>14}" if result["branches"] > 1 else "") for name, one, every in rows),
    ]
    if hours is not None:
        lines.append(f"  at {hours['images_per_s']:.4g} images a second, {result['images_per_s_from']}")
    lines += [
        f"  a step of {memory['images_at_once']} images takes {amount(memory['peak_bytes'], 'B')}: "
        f"{amount(memory['fixed_bytes'], 'B')} fixed and {amount(memory['activation_bytes'], 'B')} activations",
        f"  largest batch on {result['gpu_memory_gb']:g} GB: {result['batch_ceiling']:,}",
        f"  trains from {result['trains_from']}; the data above are the bands of {result['images']:,} images",
    ]
    if result["less_than_whole_image"] is not None:
        lines += _ratios(result["less_than_whole_image"])
    for claim in result["claims"]:
        lines += _claim(claim)
    return "\n".join([*lines, *(f"  note: {note}" for note in result["notes"])])


def _pair(result: dict[str, Any], one: str, every: str, unit: str = "") -> tuple[str, str]:
    return amount(result[one], unit), amount(result[every], unit)


def _ratios(ratios: dict[str, Any]) -> list[str]:
    pairs = (("activations", "activation_bytes_per_image"), ("MACs", "gmacs"), ("parameters", "parameters"))
    one = ", ".join(f"{name} {ratios[key]:.1f}" for name, key in pairs)
    every = ", ".join(f"{name} {ratios[f'{key}_all']:.2f}" for name, key in pairs)
    return [
        f"  {ratios['row']} needs this many times what one branch needs: {one}",
        f"  and this many times what all need: {every}",
    ]


def _claim(claim: dict[str, Any]) -> list[str]:
    design = claim["this_design"]
    ratio = "" if design["ratio"] is None else f", {design['ratio']:.1f} times"
    return [
        f"  published, {claim['claim']} ({claim['published']['ratio']:.1f} times)",
        f"    here: {_figure(design['before'])} to {_figure(design['after'])} {design['unit']}{ratio}, {claim['note']}",
    ]


def _figure(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
