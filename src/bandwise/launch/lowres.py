"""A branch of a machine that has the pictures at 1/s of their size only, which are the low band up to its scale.

What it answers stands for the answers of branch 0. Its store has other bytes and another digest, so what is compared in
its place are the pictures: their names, labels and holdout.
"""

from pathlib import Path

from bandwise.config.configfile import differences
from bandwise.errors import IncompatibleError, UsageError
from bandwise.files.arrays import open_arrays, write_arrays
from bandwise.files.atomic import commit_folder
from bandwise.files.locks import folder_lock
from bandwise.launch.collect import answers_of, copy_documents
from bandwise.runs.documents import SUMMARY_NAME
from bandwise.runs.run import Run, open_run
from bandwise.sources.samples import SampleList
from bandwise.store.layout import SAMPLES_NAME
from bandwise.store.origin import read_samples
from bandwise.store.reading.store import open_store

NOTE = "branch 0 was trained on small pictures: its answers are here, for fuse and evaluate; its weights are in {}"


def take_low_resolution(folder: Path, run: Run) -> str:
    """Copy the answers of a run on small pictures into another one, as those of branch 0; return a note on it.

    Raises:
        UsageError: the run has no branch of the low band alone, or has it already, or `folder` is not finished.
        IncompatibleError: the pictures of `folder` are others, or not of 1/s of the size.
    """
    small = open_run(folder)
    if run.config.split.stride == 1 or run.groups[0] != (0,):
        raise UsageError(
            f"branch 0 of {run.path} has not the low band alone; small pictures can stand for nothing else"
        )
    if (run.branch_folder(0) / SUMMARY_NAME).exists():
        raise UsageError(f"{run.path} has branch 0 already; collect without --low-resolution, or into another folder")
    if not (small.branch_folder(0) / SUMMARY_NAME).exists():
        raise UsageError(f"{folder} has no finished branch; train it first")
    _require_small(small, run)
    digests = _require_same_pictures(small, run)
    with folder_lock(run.path):
        for file in answers_of(small, 0):
            target = run.path / file.relative_to(small.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            arrays, meta = open_arrays(file)
            write_arrays(target, arrays, {**meta, "store": digests[1], "small_store": digests[0]})
        commit_folder(run.branch_folder(0), lambda temporary: copy_documents(small.branch_folder(0), temporary))
    return NOTE.format(folder)


def _require_small(small: Run, run: Run) -> None:
    split, training, stride = run.config.split, run.config.training, run.config.split.stride
    wanted = {"stride": 1, "canvas": split.canvas // stride, "crop": training.crop // stride, "branches": [[0]]}
    own = small.config
    given = {"stride": own.split.stride, "canvas": own.split.canvas, "crop": own.training.crop}
    if changed := differences({**given, "branches": [list(group) for group in small.groups]}, wanted):
        raise IncompatibleError(
            f"{small.path} is not of pictures of 1/{stride} of the size of {run.path}:\n  " + "\n  ".join(changed)
        )


def _require_same_pictures(small: Run, run: Run) -> tuple[str, str]:
    """Return the digests of both stores, after comparing their sample lists; sizes of files may differ."""
    stores = [open_store(each.store_path, ()) for each in (small, run)]
    first, second = (read_samples(store.path / SAMPLES_NAME, store.classes) for store in stores)
    if _names(first) != _names(second):
        raise IncompatibleError(
            f"{stores[0].path} and {stores[1].path} are of other pictures, classes or holdouts: a small picture must "
            "have the name and the class of the large one, and both must be split with the same --holdout, "
            "--holdout-min and --split-seed"
        )
    return stores[0].digest, stores[1].digest


def _names(samples: SampleList) -> tuple[object, ...]:
    return samples.classes, samples.counts, samples.labels.tobytes(), samples.paths[:].packed()
