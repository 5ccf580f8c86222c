"""Records what users see of Bandwise as digests, and compares: `python tests/golden/record.py [--check | --write]`.

Run it before and after a change that must alter nothing. Only the command line and the public names of the package are
used, so the same script serves any layout of the source. Digests, one a case, hold for the versions and the processor
that `digests.json` names; on another machine, and to see which pieces of a case have changed, compare two sources with
`--base-src OTHER/src`, or with `--against DIR`, where DIR is what `--keep DIR` wrote; `diff -r` shows it.
"""

import argparse
import fnmatch
import hashlib
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DIGESTS = Path(__file__).with_name("digests.json")
_PACKAGES = ("torch", "timm", "lightning-fabric", "torchmetrics", "numpy", "pyarrow", "pillow", "safetensors")
_PACKAGES += ("tyro", "rich", "jinja2", "matplotlib", "numba", "scipy", "pyyaml")

Digests = dict[str, str]
"""Case to SHA-256 of the names and digests of its pieces, or to the error in which it has ended."""


def processor() -> str:
    """Name the processor: its vendor's libraries choose other orders of summation on another one."""
    facts: dict[str, str] = {}
    for line in Path("/proc/cpuinfo").read_text().split("\n\n")[0].splitlines() if platform.system() == "Linux" else ():
        key, _, value = line.partition(":")
        facts[key.strip()] = value.strip()
    name = facts.get("model name", platform.processor())
    return f"{name}, family {facts.get('cpu family')}, model {facts.get('model')}"


def environment() -> dict[str, str]:
    """Say what the digests depend on beside the source."""
    import torch

    found = {"python": platform.python_version(), "machine": platform.machine(), "processor": processor()}
    found["vectors"] = torch.backends.cpu.get_cpu_capability()
    for name in _PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = "absent"
    return found


def other_environment(made_with: dict[str, str]) -> list[str]:
    """List what is here otherwise than where digests were made."""
    here = environment()
    return [f"{key} {made_with.get(key)} -> {value}" for key, value in here.items() if value != made_with.get(key)]


def recorded() -> tuple[dict[str, str], Digests]:
    """Read `digests.json`: the environment, and the digest of every case."""
    content = json.loads(DIGESTS.read_text())
    return content["environment"], content["cases"]


def record(
    names: list[str],
    scratch: Path,
    source: Path,
    *,
    keep: Path | None = None,
    old: Path | None = None,
    tell: bool = True,
) -> Digests:
    """Run cases with all that they need in an empty folder, and return the digest of each.

    The normalised pieces are written to `keep`. The cases `kept/...` read what an earlier record left in its scratch
    folder `old`.
    """
    from tests.golden.cases import wanted
    from tests.golden.work import Work, working_in

    found: Digests = {}
    work = Work(scratch.resolve(), source.resolve(), (old or scratch).resolve() / "work")
    with working_in(work.scratch / "work"):
        for name in wanted(names):
            started = time.monotonic()
            pieces = work.run(name)
            found[name] = f"error: {pieces['error'].decode()}" if "error" in pieces else digest(pieces)
            if keep is not None:
                for piece, content in pieces.items():
                    path = keep / name / _file_name(piece)
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(content)
            if tell:
                print(f"{name}: {len(pieces)} pieces, {time.monotonic() - started:.1f} s", flush=True)
    return found


def digest(pieces: Mapping[str, bytes]) -> str:
    """Return the SHA-256 of a case: over a line a piece, in the order of their names."""
    lines = (f"{hashlib.sha256(content).hexdigest()}  {name}\n" for name, content in sorted(pieces.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def _file_name(piece: str) -> str:
    """Return the name of a piece as that of a file, with a part of its digest where it is long."""
    name = piece.replace("/", "__")
    return name if len(name.encode()) < 200 else f"{name[:150]} {hashlib.sha256(name.encode()).hexdigest()[:8]}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="compare with digests.json (what is done when left out)")
    what.add_argument("--write", action="store_true", help="write digests.json; with --only, these cases of it")
    what.add_argument("--list", action="store_true", help="name the cases")
    what.add_argument("--keep", type=Path, help="write the normalised pieces to this new folder")
    what.add_argument("--base-src", type=Path, help="compare with what this source gives")
    what.add_argument("--against", type=Path, help="compare with the pieces that --keep wrote here")
    parser.add_argument("--only", action="append", default=[], metavar="PATTERN", help="cases, such as 'stores/*'")
    parser.add_argument("--scratch", type=Path, help="an empty folder to work in; it stays. A temporary one without")
    parser.add_argument("--src", type=Path, default=ROOT / "src", help="source to record, this repository's by default")
    parser.add_argument("--old", type=Path, help="scratch folder of another record, whose stores and runs are read")
    return parser.parse_args()


def main() -> int:
    """Record, then write or compare; return 1 where something differs."""
    options = _arguments()
    source = options.src.resolve()
    sys.path[:0] = [str(source), str(ROOT)]
    os.environ["PYTHONPATH"] = str(source)
    from tests.golden.cases import CASES, register

    import bandwise

    assert Path(bandwise.__file__).is_relative_to(source), f"{bandwise.__file__} is not of {source}"
    register()
    names = [name for name in CASES if not options.only or any(fnmatch.fnmatch(name, p) for p in options.only)]
    if options.list:
        print("\n".join(names))
        return 0
    with tempfile.TemporaryDirectory(prefix="golden-") as temporary:
        scratch = (options.scratch or Path(temporary) / "now").resolve()
        if (scratch / "work").exists():
            sys.exit(f"{scratch} is in use; name an empty folder")
        against = options.against
        if options.base_src is not None:
            against = Path(temporary) / "before"
            command = [sys.executable, __file__, "--src", options.base_src, "--keep", against]
            subprocess.run([*command, *(f"--only={pattern}" for pattern in options.only)], check=True)
        keep = (options.keep or Path(temporary) / "kept").resolve()
        found = record(names, scratch, source, keep=keep, old=options.old)
        if options.keep is not None:
            return 0
        if options.write:
            return _write(found, complete=not options.only)
        if against is not None:
            return _tell({name: changed(against / name, keep / name) for name in found})
        made_with, before = recorded()
        if other := other_environment(made_with):
            print(f"NOTE: digests.json is of another environment ({', '.join(other)}); use --base-src here")
        return _tell({name: [] if before.get(name) == now else ["see --base-src"] for name, now in found.items()})


def _write(found: Digests, *, complete: bool) -> int:
    from tests.golden.cases import CASES

    if failed := [name for name, result in found.items() if result.startswith("error")]:
        sys.exit(f"nothing was written: these cases ended in an error: {failed}")
    cases = {} if complete else {name: value for name, value in recorded()[1].items() if name in CASES}
    content = {"environment": environment(), "cases": dict(sorted({**cases, **found}.items()))}
    DIGESTS.write_text(json.dumps(content, indent=1) + "\n")
    print(f"wrote the digests of {len(found)} cases to {DIGESTS}")
    return 0


def changed(before: Path, after: Path) -> list[str]:
    """Name the pieces of one case that differ between two folders that `--keep` wrote."""
    old, new = ({path.name: path.read_bytes() for path in side.glob("*") if path.is_file()} for side in (before, after))
    lines = [f"only before: {name}" for name in sorted(old.keys() - new.keys())]
    lines += [f"only now: {name}" for name in sorted(new.keys() - old.keys())]
    return lines + [f"different: {name}" for name in sorted(old.keys() & new.keys()) if old[name] != new[name]]


def _tell(differences: Mapping[str, list[str]]) -> int:
    for name, lines in sorted(differences.items()):
        print("\n            ".join([f"DIFFERENT {name}" if lines else f"equal     {name}", *lines]))
    different = sum(1 for lines in differences.values() if lines)
    print(f"{len(differences)} cases: {different} differ")
    return 1 if different else 0


if __name__ == "__main__":
    sys.exit(main())
