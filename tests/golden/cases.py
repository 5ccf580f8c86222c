"""What is recorded: functions that are cases, and the commands of `cases.yaml`."""

import importlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

DATA: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("cases.yaml").read_text(encoding="utf-8"))
Run = Callable[[Any], None]


@dataclass(frozen=True)
class Case:
    """Something to record."""

    name: str
    run: Run
    needs: tuple[str, ...] = ()
    quick: bool = False
    """Whether it is compared in every test run."""
    floats: bool = False
    """Whether it holds floating-point results, whose last bits another processor may give otherwise."""


CASES: dict[str, Case] = {}


def case(name: str, *needs: str, quick: bool = False, floats: bool = False) -> Callable[[Run], Run]:
    """Register a function as a case; those it needs are run before it."""

    def register(run: Run) -> Run:
        assert name not in CASES, name
        CASES[name] = Case(name, run, needs, quick, floats)
        return run

    return register


def scripted(name: str, *lines: str, needs: str = "", floats: bool = False) -> None:
    """Register a case that is a script."""
    register = case(name, *needs.split(), quick=name in DATA["quick"], floats=floats)
    register(lambda work: work.script(*lines))


def register() -> None:
    """Find all cases."""
    for module in ("commands", "kept", "public", "sources", "stores", "trainings"):
        importlib.import_module(f"tests.golden.{module}")
    if "help/usage" not in CASES:
        _register_data()


def _register_data() -> None:
    for name, flags in DATA["splits"].items():
        split = f"split {flags} --out stores/{name} HERE --json ## $ split"
        scripted(f"stores/{name}", split, f": store stores/{name}", needs="inputs")
    for name, facts in DATA["scripts"].items():
        facts = {"run": facts} if isinstance(facts, str) else facts
        scripted(name, facts["run"], needs=facts.get("needs", ""))
    for name, facts in DATA["trainings"].items():
        changes = {key: value for key, value in facts.items() if key not in ("store", "flags")}
        where = f"--store stores/{facts['store']}" if facts else ""
        scripted(
            f"runs/{name}",
            f": write {name} {json.dumps(changes)}",
            f"run configs/{name}.json --out runs/{name} {where} --jobs 1 HERE {facts.get('flags', '')} --json ## $ run",
            f": run_folder runs/{name}",
            "" if facts else f": store runs/{name}/store store/",
            needs=f"stores/{facts['store']}" if facts else "inputs",
            floats=True,
        )


def wanted(names: Iterable[str]) -> list[str]:
    """Return cases and all that they need, which comes first, in the order of registration otherwise."""
    found: dict[str, None] = {}

    def add(name: str) -> None:
        for needed in CASES[name].needs:
            add(needed)
        found[name] = None

    for name in sorted(names, key=list(CASES).index):
        add(name)
    return list(found)
