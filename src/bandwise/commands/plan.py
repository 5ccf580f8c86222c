"""`bandwise plan ROW`: what a run will need, before any of its images is there."""

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bandwise.commands import flags
from bandwise.commands.assignment import advice_outcome, assignment_outcome
from bandwise.commands.verb import CONFIG_SUFFIXES, Outcome, base_config, parse, take_recipe
from bandwise.config import DataConfig, RunConfig
from bandwise.errors import UsageError
from bandwise.launch.cost import matched
from bandwise.launch.plan import Plan, Setting, compare, make_plan, measure_steps
from bandwise.progress import say
from bandwise.recipes.catalog import all_recipes, find_recipe, full_image_of
from bandwise.recipes.recipe import CLAIMS, Claim, DatasetFacts, Recipe, facts_of
from bandwise.recipes.sets import find_set
from bandwise.report.units import amount, seconds
from bandwise.sources.resolve import open_source
from bandwise.sources.source import Listing

_MIB = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """Say what a recipe will need: memory, batch, bytes a node, multiply-adds and hours, for one branch and for all."""

    settings: RunConfig
    gpu_memory_gb: float = 40.0
    """Memory of one accelerator in GB of 10^9 bytes, for the largest batch."""
    images_per_s: float | None = None
    """Training images a second of one branch, for the hours."""
    measure: bool = False
    """Time a few steps on this machine in place of --images-per-s."""
    measure_batch: int | None = None
    """Images of a step that is timed; the batch of the recipe on an accelerator and 8 on a CPU when left out."""
    machines: Path | None = None
    """YAML file of machines that differ: say which trains which branch, and when all are done."""
    script: Path | None = None
    """With --machines: write into this folder what to copy to each machine and what to run there."""
    advise: bool = False
    """With --machines: compare the divisions of the work that fit, with what was measured of each at equal cost."""
    images: int | None = None
    """Images a node stores; those of the published data set, or of the folder in --data, when left out."""
    classes: int | None = None
    """Classes; likewise."""
    recipe_set: flags.RecipeSet = ""
    config: flags.ConfigFile = None
    json: flags.Json = False


def main(argv: Sequence[str]) -> Outcome:
    name, rest = take_recipe(argv, required="" if "--advise" in argv else "bandwise plan RECIPE")
    arguments = parse(Arguments, rest, "plan", Arguments(settings=base_config(name, rest)))
    _check(arguments)
    config = arguments.settings
    recipe = None if name is None or name.endswith(CONFIG_SUFFIXES) else find_recipe(name)
    setting = _setting(arguments)
    if arguments.advise:
        return advice_outcome(config, setting, arguments.machines)
    if arguments.machines is not None or arguments.script is not None:
        return assignment_outcome(config, setting, arguments.machines, arguments.script)
    plan = make_plan(config, setting)
    whole = None if recipe is None else _whole_image(recipe, config, setting)
    result = {
        **plan.to_dict(),
        "recipe_set": arguments.recipe_set or None,
        "notes": _notes(arguments),
        "published_hours": None if recipe is None or recipe.published is None else recipe.published.hours,
        "images_per_s_from": setting.images_per_s_from,
        "bytes_from": "raw pixels of the records, exact; with the codec by shares measured on photographs, an estimate",
        "less_than_whole_image": None if whole is None else compare(plan, whole),
        "matched": _matched(arguments, setting),
        "claims": [] if whole is None else _published_claims(config, plan, whole),
    }
    return Outcome(result, _text(result))


def _notes(arguments: Arguments) -> list[str]:
    notes = list(find_set(arguments.recipe_set).notes_for(arguments.settings)) if arguments.recipe_set else []
    if (source := arguments.settings.initial_branch) is not None:
        notes.append(
            f"The others start from the final weights of branch {source}: with a machine for every branch it takes the "
            "time of two trainings, and the folder of that branch is copied to each."
        )
    return notes


def _check(arguments: Arguments) -> None:
    for flag in ("gpu_memory_gb", "images_per_s", "images"):
        value = getattr(arguments, flag)
        if value is not None and not 0 < value < float("inf"):
            raise UsageError(f"{flag} is {value}; it must be above 0")
    if arguments.classes is not None and arguments.classes < 2:
        raise UsageError(f"classes is {arguments.classes}; it must be at least 2")
    if arguments.measure_batch is not None and arguments.measure_batch < 2:
        raise UsageError(f"measure_batch is {arguments.measure_batch}; it must be at least 2")
    if arguments.measure and arguments.images_per_s is not None:
        raise UsageError("--measure and --images-per-s are both given; choose one")


def _setting(arguments: Arguments) -> Setting:
    config = arguments.settings
    without = arguments.classes is None or arguments.images is None
    known = facts_of(config.data) or (_counted(config.data) if without else None)
    facts = known or DatasetFacts(arguments.classes or 0, 3, arguments.images or 0, arguments.images or 0)
    classes = arguments.classes or facts.classes
    images = arguments.images or facts.images
    rate, rate_from = arguments.images_per_s, None if arguments.images_per_s is None else "given"
    if arguments.measure:
        measured = measure_steps(config, channels=facts.channels, num_classes=classes, batch=arguments.measure_batch)
        rate, rate_from = measured.images_per_s, measured.how
    return Setting(
        classes=classes,
        channels=facts.channels,
        images=images,
        train_images=round(images * facts.train_images / facts.images * (1 - config.split.holdout)),
        gpu_memory_gb=arguments.gpu_memory_gb,
        images_per_s=rate,
        images_per_s_from=rate_from,
    )


def _counted(data: DataConfig) -> DatasetFacts:
    """List the images that are there."""
    if not Path(data.data).expanduser().exists():
        raise UsageError(
            f"how many classes and images {data.data!r} has is not known, and there is no such folder; name it with "
            "--data, or give --classes and --images"
        )
    source = open_source(data)
    listing = Listing.of(source.entries())
    val = int(listing.val.sum())
    say(f"{source.name}: {len(source.classes):,} classes, {len(listing) - val:,} images to train and {val:,} reported")
    return DatasetFacts(len(source.classes), source.channels, len(listing), len(listing) - val)


def _whole_image(recipe: Recipe, config: RunConfig, setting: Setting) -> Plan | None:
    """Plan the whole-image row of the same family, trained as this one and on the same images."""
    full = full_image_of(recipe)
    if full is None:
        return None
    crop, own = full.config.training.crop, config.training
    training = replace(own, crop=crop, train_crop=own.train_crop * crop // own.crop)
    network = replace(full.config.network, drop_path=config.network.drop_path)
    whole = replace(full.config, training=training, network=network, augment=config.augment)
    return make_plan(whole, replace(setting, images_per_s=None))


def _matched(arguments: Arguments, setting: Setting) -> dict[str, list[str]] | None:
    """Return the recipes on the same data that this may be compared with; None where one trains in another way."""
    config = arguments.settings
    if arguments.recipe_set:
        return None
    others = {
        recipe.name: recipe.config
        for recipe in all_recipes().values()
        if recipe.name != config.name and recipe.config.data == config.data
    }
    return matched(config, others, channels=setting.channels, num_classes=setting.classes) if others else None


def _published_claims(config: RunConfig, plan: Plan, whole: Plan) -> list[dict[str, Any]]:
    """Return the published savings beside those of this row; none for other data sets and for whole images."""
    if config.split.stride == 1 or config.data.source not in ("imagenet1k", "imagenet21k"):
        return []
    # The published figure names no batch; the one with which the whole-image row takes as much is comparable.
    batch = whole.memory.batch_ceiling(CLAIMS["memory"].before * 1e9)
    found = [
        _claim(
            CLAIMS["memory"],
            whole.memory.peak(batch) / 1e9,
            plan.memory.peak(batch) / 1e9,
            f"at {batch} images a step, with which {whole.name} takes as much as was published",
        ),
        _claim(
            CLAIMS["batch"],
            whole.batch_ceiling,
            plan.batch_ceiling,
            f"on {plan.gpu_memory_gb:g} GB; published with powers of two",
        ),
    ]
    if config.data.source == "imagenet21k":
        raw, packed = plan.bytes_per_node / 1e9, plan.stored_bytes_per_node_estimated / 1e9
        note = (
            f"raw pixels of one band; about {packed:.0f} GB with the codec; the published bands were lossy JPEG, and "
            "what stands before is the archive of originals"
        )
        found.append(_claim(CLAIMS["storage"], CLAIMS["storage"].before, raw, note))
    return found


def _claim(claim: Claim, before: float, after: float, note: str) -> dict[str, Any]:
    ratio = max(before, after) / min(before, after) if min(before, after) > 0 else None
    return {
        "claim": claim.text,
        "published": {"before": claim.before, "after": claim.after, "ratio": claim.ratio, "unit": claim.unit},
        "this_design": {"before": before, "after": after, "ratio": ratio, "unit": claim.unit},
        "note": note,
    }


def _text(result: dict[str, Any]) -> str:
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
        ("logits", *_pair(result, "logits_bytes", "logits_bytes_all", "B")),
    ]
    if result["features_bytes"]:
        rows.append(("features of the head", *_pair(result, "features_bytes", "features_bytes_all", "B")))
    if hours is not None:
        rows.append(("training", seconds(3600 * hours["per_branch"]), seconds(3600 * hours["summed"])))
    lines = [
        f"{result['name']}: {result['branches']} x {result['model']}{stem}, {result['input_px']} px, "
        f"{result['classes']:,} classes, {result['epochs']} epochs",
        *(f"  {name:<26}{one:>14}" + (f"{every:>14}" if result["branches"] > 1 else "") for name, one, every in rows),
    ]
    if hours is not None:
        lines.append(f"  at {hours['images_per_s']:.4g} images a second, {result['images_per_s_from']}")
    if hours is not None and result["published_hours"] is not None:
        lines.append(f"  published for one branch, on other hardware: {result['published_hours']:g} h")
    lines += [
        f"  a step of {memory['images_at_once']} images takes {amount(memory['peak_bytes'], 'B')}: "
        f"{amount(memory['fixed_bytes'], 'B')} fixed and {amount(memory['activation_bytes'], 'B')} activations",
        f"  largest batch on {result['gpu_memory_gb']:g} GB: {result['batch_ceiling']:,}",
        f"  trains from {result['trains_from']}; the data above are the bands of {result['images']:,} images",
    ]
    if result["less_than_whole_image"] is not None:
        lines += _ratios(result["less_than_whole_image"])
    lines += _matches(result["matched"] or {})
    for claim in result["claims"]:
        lines += _claim_lines(claim)
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


def _matches(found: dict[str, list[str]]) -> list[str]:
    """Name the recipes of equal cost; equal is within a quarter."""
    questions = {
        "macs_per_node": "equal cost of training a node",
        "macs_all": "equal cost of training in all",
        "pixels_per_node": "equal data of a node",
    }
    return [
        line
        for key, names in found.items()
        if names
        for line in textwrap.wrap(
            f"{questions[key]}: {', '.join(names)}",
            width=100,
            initial_indent="  ",
            subsequent_indent="    ",
            break_on_hyphens=False,
        )
    ]


def _claim_lines(claim: dict[str, Any]) -> list[str]:
    design = claim["this_design"]
    ratio = "" if design["ratio"] is None else f", {design['ratio']:.1f} times"
    return [
        f"  published, {claim['claim']} ({claim['published']['ratio']:.1f} times)",
        f"    here: {_figure(design['before'])} to {_figure(design['after'])} {design['unit']}{ratio}, {claim['note']}",
    ]


def _figure(value: float) -> str:
    return f"{value:,.1f}" if isinstance(value, float) else f"{value:,}"
