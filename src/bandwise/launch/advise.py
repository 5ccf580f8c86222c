"""Which division of the work fits a set of machines, what it takes, and what was measured of others of its kind."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from bandwise.config import RunConfig
from bandwise.errors import UsageError
from bandwise.launch.cost import branch_costs
from bandwise.launch.machines import Assignment, Machine, assign
from bandwise.launch.plan import Setting

LABELS = {
    "whole": "the whole image, one network",
    "whole seeds": "the whole image, a seed for each band",
    "bands": "bands, a network each",
    "context": "the low band in every branch",
    "joint": "all bands in one network, epochs times bands",
    "joint seeds": "all bands, a seed for each band",
}
"""The divisions. All but the seeds of the whole image take about equally many multiply-adds in all."""

_ONE_NETWORK, _DIVIDED = ("whole", "joint"), ("bands", "context")


@dataclass(frozen=True, kw_only=True)
class Division:
    """One way to divide the work, on these machines."""

    name: str
    what: str
    assignment: Assignment | None
    """None where its network does not take pictures of that size."""
    why_not: str | None
    """None where every branch fits on a machine."""
    macs: float
    """Multiply-adds of a picture in all branches, times the epochs."""


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The divisions, and what speaks for which."""

    divisions: tuple[Division, ...]
    verdict: str
    evidence: tuple[dict[str, Any], ...]
    """What was measured of two divisions that both fit."""


def divisions_of(config: RunConfig) -> dict[str, RunConfig]:
    """Return the divisions of an experiment, with its network, training and pictures, by their names in `LABELS`."""
    stride = max(config.split.stride, 2)
    count = stride**2
    split = replace(config.split, stride=stride, transform="dct2d", bands="all")
    undivided = replace(config.split, stride=1, transform="identity", bands="all")
    base = replace(config, split=split, branches="each", initial_branch=None)
    every = ",".join(map(str, range(count)))
    longer = replace(config.training, epochs=count * config.training.epochs)
    return {
        "whole": replace(base, split=undivided, branches="0"),
        "whole seeds": replace(base, split=undivided, branches=";".join("0" * count)),
        "bands": base,
        "context": replace(base, branches=";".join(["0", *(f"0,{band}" for band in range(1, count))])),
        "joint": replace(base, branches=every, training=longer),
        "joint seeds": replace(base, branches=";".join([every] * count)),
    }


def advise(
    config: RunConfig, setting: Setting, machines: Sequence[Machine], compared: Sequence[dict[str, Any]]
) -> Advice:
    """Assign every division to the machines, whose rates are of the largest branch of `config`; name the better one.

    `compared` are recorded comparisons of two divisions, as `recipes.catalog.compared_divisions` returns them.
    """
    if ";" in config.network.model:
        raise UsageError(f"--advise compares divisions of one network, not {config.network.model}; give --model")
    size = {"channels": setting.channels, "num_classes": setting.classes}
    measured = max(cost.macs for cost in branch_costs(config, **size))
    found = {
        name: _division(name, wanted, setting, machines, measured) for name, wanted in divisions_of(config).items()
    }
    fitting = {name: own.assignment for name, own in found.items() if own.assignment and own.why_not is None}
    evidence = [each for each in compared if each["first"] in fitting and each["second"] in fitting]
    return Advice(divisions=tuple(found.values()), verdict=_verdict(fitting, evidence), evidence=tuple(evidence))


def _division(name: str, config: RunConfig, setting: Setting, machines: Sequence[Machine], measured: int) -> Division:
    size = {"channels": setting.channels, "num_classes": setting.classes}
    try:
        macs = [cost.macs for cost in branch_costs(config, **size)]
        scaled = [replace(each, images_per_s=each.images_per_s * measured / max(macs)) for each in machines]
        assignment = assign(config, setting, scaled)
    except UsageError as error:
        return Division(name=name, what=LABELS[name], assignment=None, why_not=str(error), macs=0.0)
    reasons = [share.why_idle for share in assignment.shares if share.why_idle is not None]
    return Division(
        name=name,
        what=LABELS[name],
        assignment=assignment,
        why_not="; ".join(dict.fromkeys(reasons)) if assignment.left else None,
        macs=float(sum(macs) * config.training.epochs),
    )


def _verdict(fitting: dict[str, Assignment], evidence: Sequence[dict[str, Any]]) -> str:
    if not fitting:
        return "nothing fits on these machines: give a smaller network, canvas or batch, or --grad-accum-steps"
    single = {name: fitting[name].days for name in _ONE_NETWORK if name in fitting}
    many = {name: fitting[name].days for name in _DIVIDED if name in fitting}
    if not single:
        fits = "; ".join(LABELS[name] for name in fitting)
        return f"no machine takes one network for the whole work; what fits: {fits}"
    one = min(single, key=lambda name: single[name])
    better = f"one network on one machine is the better choice: {LABELS[one]}, done in {single[one]:.3g} days"
    if not many or single[one] <= min(many.values()):
        return f"{better}; bands on several machines are not done before it"
    asked = [each["points"] for each in evidence if each["first"] in _DIVIDED and each["second"] in _ONE_NETWORK]
    behind = sum(points < 0 for points in asked)
    quickest = min(many, key=lambda name: many[name])
    divided = f"{LABELS[quickest]}: done in {many[quickest]:.3g} days"
    if 2 * behind <= len(asked):
        return divided
    return (
        f"{better}, unless the time, the memory or the data of a node decides: at equal cost in all bands were behind "
        f"one network in {behind} of {len(asked)} comparisons; {divided}"
    )
