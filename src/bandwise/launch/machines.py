"""Which machine trains which branch, where machines differ and no network joins them."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from bandwise.config import RunConfig, to_dict
from bandwise.config.configfile import config_text, read_config_file
from bandwise.errors import UsageError
from bandwise.launch.cost import activation_bytes, branch_costs
from bandwise.launch.plan import Setting
from bandwise.store.layout import band_folder
from bandwise.store.writing.records import estimate_bytes
from bandwise.training.memory import StepMemory, step_memory

_HOURS_A_DAY = 24.0
_CHECKPOINTS = 4
"""Two are kept, one more is being written, and the rest of a run takes less than a fourth."""
_GB = 1e9


@dataclass(frozen=True, kw_only=True, slots=True)
class Machine:
    """One machine, as `machines.yaml` describes it."""

    name: str
    memory_gb: float
    """Of its accelerator, or of the machine where it trains on its processor, in GB of 10^9 bytes."""
    disk_gb: float
    images_per_s: float
    """Training images a second of the largest branch."""
    hours_a_day: float = _HOURS_A_DAY

    def __post_init__(self) -> None:
        """Refuse what no machine has."""
        for key in ("memory_gb", "disk_gb", "images_per_s", "hours_a_day"):
            value = getattr(self, key)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value < float("inf"):
                raise UsageError(f"machine {self.name}: {key} is {value!r}; it must be a number above 0")
        if self.hours_a_day > _HOURS_A_DAY:
            raise UsageError(f"machine {self.name}: hours_a_day is {self.hours_a_day:g}; a day has 24")


@dataclass(frozen=True, kw_only=True)
class Share:
    """What one machine is to do."""

    machine: str
    branches: tuple[int, ...]
    """In the order in which it trains them."""
    hours: float
    """Of training, its own work only."""
    days: float
    """Until it is done, with the hours a day that it has, and after the branch that the others start from."""
    disk_gb: float
    step_gb: float
    why_idle: str | None
    """None where it has a branch."""


@dataclass(frozen=True, kw_only=True)
class Assignment:
    """All branches on all machines."""

    shares: tuple[Share, ...]
    left: tuple[int, ...]
    """Branches that fit on no machine."""
    days: float
    """Until the last machine is done."""
    accumulation: int | None
    """`--grad-accum-steps`, the same on all machines, with which some that are idle could take part."""


@dataclass(frozen=True, slots=True)
class _Work:
    """One branch: its share of the largest one's work, what its step takes, and its bytes on a disk."""

    branch: int
    share: float
    memory: StepMemory
    bytes: int


def read_machines(path: Path) -> list[Machine]:
    """Read `machines: [{name, memory_gb, disk_gb, images_per_s, hours_a_day}]`; what is wrong is a `UsageError`."""
    content = read_config_file(path)
    listed = content.get("machines") if isinstance(content, dict) else None
    if not isinstance(listed, list) or not listed:
        raise UsageError(f"{path} has no list `machines`; write for each {_example()}")
    machines = [_machine(path, entry) for entry in listed]
    names = [machine.name for machine in machines]
    if repeated := {name for name in names if names.count(name) > 1}:
        raise UsageError(f"{path}: the machine {min(repeated)} stands twice; give each a name of its own")
    return machines


def _machine(path: Path, entry: Any) -> Machine:
    known = {field.name for field in fields(Machine)}
    needed = known - {"hours_a_day"}
    if not isinstance(entry, dict) or not needed <= set(entry) <= known:
        raise UsageError(f"{path}: a machine is {entry!r}; it needs {_example()}")
    name = str(entry["name"])
    if not name or not all(letter.isalnum() or letter in "-_." for letter in name) or name.startswith("."):
        raise UsageError(f"{path}: {name!r} cannot name a machine; use letters, digits, -, _ and .")
    return Machine(**{**entry, "name": name})


def _example() -> str:
    return "name, memory_gb, disk_gb, images_per_s and, if it does not run day and night, hours_a_day"


def assign(config: RunConfig, setting: Setting, machines: Sequence[Machine]) -> Assignment:
    """Give every branch to the machine that would be done with it first, the longest branch first.

    Of machines that are free alike that is at most a third above the best there is (Graham 1969, "Bounds on
    multiprocessing timing anomalies"). A machine takes a branch only if a step of it fits in its memory, and the bands
    and checkpoints of all its branches on its disk. The branch that the others start from comes before all.
    """
    works = sorted(_works(config, setting), key=lambda work: (-work.share, work.branch))
    source = config.initial_branch
    works.sort(key=lambda work: work.branch != source)
    images = config.training.epochs * setting.train_images
    batch = config.training.batch_size // config.training.grad_accum_steps
    taken: dict[str, list[_Work]] = {machine.name: [] for machine in machines}
    busy = dict.fromkeys(taken, 0.0)
    left: list[int] = []
    first_done = 0.0
    for work in works:
        ends: dict[str, float] = {}
        for machine in machines:
            disk = _disk([*taken[machine.name], work])
            if work.memory.peak(batch) <= machine.memory_gb * _GB and disk <= machine.disk_gb * _GB:
                days = images * work.share / machine.images_per_s / 3600 / machine.hours_a_day
                ends[machine.name] = max(busy[machine.name], first_done) + days
        if not ends:
            left.append(work.branch)
            continue
        chosen = min(ends, key=lambda name: ends[name])
        taken[chosen].append(work)
        busy[chosen] = ends[chosen]
        if work.branch == source:
            first_done = ends[chosen]
    shares = tuple(
        _share(machine, taken[machine.name], busy[machine.name], works, images, batch) for machine in machines
    )
    return Assignment(
        shares=shares,
        left=tuple(sorted(left)),
        days=max(busy.values()),
        accumulation=_accumulation(config, [machine for machine in machines if not taken[machine.name]], works),
    )


def _works(config: RunConfig, setting: Setting) -> Iterator[_Work]:
    size = {"channels": setting.channels, "num_classes": setting.classes}
    groups = config.groups()
    costs = branch_costs(config, **size)
    largest = max(cost.macs for cost in costs)
    for branch, cost in enumerate(costs):
        memory = step_memory(
            config,
            parameters=cost.params,
            buffers=cost.buffers,
            activations=activation_bytes(config, branch, **size),
        )
        bands = estimate_bytes(config.split, len(groups[branch]), setting.channels, setting.images)
        saved = memory.parameters + memory.buffers + memory.optimizer + memory.average
        yield _Work(branch, cost.macs / largest, memory, bands + _CHECKPOINTS * saved)


def _disk(works: Sequence[_Work]) -> int:
    return sum(work.bytes for work in works)


def _share(
    machine: Machine, works: Sequence[_Work], days: float, every: Sequence[_Work], images: int, batch: int
) -> Share:
    return Share(
        machine=machine.name,
        branches=tuple(work.branch for work in works),
        hours=sum(images * work.share / machine.images_per_s / 3600 for work in works),
        days=days,
        disk_gb=_disk(works) / _GB,
        step_gb=max((work.memory.peak(batch) for work in works), default=0) / _GB,
        why_idle=None if works else _why_idle(machine, every, batch),
    )


def _why_idle(machine: Machine, works: Sequence[_Work], batch: int) -> str:
    step, disk = min(work.memory.peak(batch) for work in works) / _GB, min(work.bytes for work in works) / _GB
    if step > machine.memory_gb:
        return f"a step of {batch} images takes {step:.1f} GB, and it has {machine.memory_gb:g} GB"
    if disk > machine.disk_gb:
        return f"a branch takes {disk:.1f} GB of disk, and it has {machine.disk_gb:g} GB"
    return "the others are done before it would be"


def _accumulation(config: RunConfig, idle: Sequence[Machine], works: Sequence[_Work]) -> int | None:
    """Return the fewest parts of a batch with which an idle machine could make a step of the smallest branch."""
    batch, now = config.training.batch_size, config.training.grad_accum_steps
    peak = min(works, key=lambda work: work.memory.peak(batch)).memory.peak
    for parts in range(now + 1, batch // 2 + 1):
        fits = any(peak(batch // parts) <= machine.memory_gb * _GB < peak(batch // now) for machine in idle)
        if batch % parts == 0 and fits:
            return parts
    return None


def write_scripts(config: RunConfig, assignment: Assignment, folder: Path) -> list[Path]:
    """Write for every machine that has branches what to copy and to run, and a script that brings all together.

    The configuration lies beside them, whole.
    """
    folder.mkdir(parents=True, exist_ok=True)
    groups, source = config.groups(), config.initial_branch
    busy = [share for share in assignment.shares if share.branches]
    settings = folder / "run.yaml"
    settings.write_text(config_text(to_dict(config)), encoding="utf-8")
    written = [settings]
    for share in busy:
        bands = sorted({band for branch in share.branches for band in groups[branch]})
        copied = ("*.json", "*.md", "*.parquet", "commits", *map(band_folder, bands))
        lines = [
            "#!/bin/sh",
            f"# {share.machine}: branches {', '.join(map(str, share.branches))}, about {share.hours:.1f} hours.",
            f"# Copy {settings.name} here and, from the machine that has split the pictures, into a folder `store`:",
            f"#   {' '.join(f'STORE/{name}' for name in copied)}",
        ]
        if source is not None and source not in share.branches:
            lines.append(
                f"# and, when it is trained, the folder of branch {source} into `run`: run/branch-{source:02d}"
            )
        lines += ["# Stopped and started again, this goes on where it was.", "set -e"]
        lines += [
            f"bandwise train {settings.name} --out run --store store --branch {branch}" for branch in share.branches
        ]
        written.append(_script(folder / f"{share.machine}.sh", lines))
    runs = " ".join(f"from-{share.machine}" for share in busy)
    last = [
        "#!/bin/sh",
        "# On the machine that has the store, where the folder `run` of every machine lies as from-NAME.",
        "set -e",
        f"bandwise collect {runs} --into run --store STORE",
        "bandwise fuse run",
        "bandwise evaluate run",
    ]
    return [*written, _script(folder / "collect.sh", last)]


def _script(path: Path, lines: Sequence[str]) -> Path:
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    path.chmod(0o755)
    return path
