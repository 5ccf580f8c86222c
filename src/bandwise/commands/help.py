"""What `--help` shows of a command: a screen of 24 lines of 80 columns, with an example that runs as it stands."""

import textwrap
from dataclasses import dataclass

_COLUMNS = 80


@dataclass(frozen=True, slots=True)
class Help:
    """The screen of one command."""

    takes: str
    """What follows the name of the command, without options."""
    what: str
    flags: dict[str, str]
    """What most people use, and what it does."""
    example: str
    """A command line that runs in a folder that holds a folder `pictures` of class folders, after those before it."""


_OUT = {"--out RUN": "run folder; started again, the same command resumes"}
_RUN = {
    **_OUT,
    "--data FOLDER": "other images: a folder of class folders, or a named set",
    "--stride S": "grid step in pixels; there are S*S bands (default 2)",
    "--branches TEXT": "band groups, one network each, such as '0;1;2;3' or 0,1,2,3",
    "--model NAME": "network of every branch, such as resnet10 or timm:NAME",
    "--pretrained WHAT": "weights to start from: a file, timm:NAME or hf:OWNER/NAME",
    "--epochs N": "passes over the training images",
    "--stop-after TIME": "such as 6h: for each branch the epochs that fit",
    "--batch-size N": "images of a step",
    "--lr RATE": "learning rate after warm-up",
    "--seed N": "seed of everything that is random (default 0)",
}
_DRY_RUN = {"--dry-run": "print the resolved configuration, and write nothing"}
_CROPS = {"--crops 10": "the mean of ten crops in place of the centre crop"}
_DEVICE = {"--device NAME": "cpu, cuda, or auto for CUDA where there is one"}
_DATA = {"--data FOLDER": "where the images are now, if they were moved"}

HELP = {
    "demo": Help(
        "",
        "Four bands of 1,393 grocery photographs, four networks, their fusion, and one network on the whole image.",
        {"--out FOLDER": "folder for both runs and the report", "--jobs N": "branches trained at once"},
        "demo --out runs/demo",
    ),
    "run": Help(
        "RECIPE --out RUN",
        "Split, train, fuse, evaluate and report one recipe, a name of `bandwise recipes` or a YAML file.",
        {**_RUN, **_DRY_RUN},
        "run photos-sub4 --out runs/sub4",
    ),
    "launch": Help(
        "RUN",
        "Train the branches of a run that `bandwise run RECIPE --out RUN --prepare` has begun, each by a command of "
        "its own, then fuse, evaluate and report. Started again, it goes on.",
        {
            "--on slurm|ray": "a cluster in place of processes of this machine",
            "--slots N": "branches at once",
            "--sbatch TEXT": "SLURM: options of sbatch, such as '--partition=gpu -t 480'",
            "--address A": "Ray: of a running cluster; one of this machine when left out",
            "--devices 0,1": "accelerators to use, one for every branch (default all)",
            "--per-device N": "branches at once on each of them (default 1)",
            "--dry-run": "print the commands or scripts, and start nothing",
        },
        "launch runs/sub4 --slots 2 --dry-run",
    ),
    "status": Help(
        "RUN",
        "Show where the branches of a run stand: step, rate, time left, last sign of life. It reads the files of the "
        "run alone, so it works on any machine that sees them, and stops nothing.",
        {
            "--watch": "show it again and again, until every branch is finished",
            "--every S": "seconds from one look to the next (default 10)",
        },
        "status runs/sub4",
    ),
    "recipes": Help(
        "[NAME]",
        "List the recipes with what they reach, or show one whole, with its cost and its settings.",
        {"--recipe-set SET": "with a name: trained by another published recipe"},
        "recipes photos-sub4",
    ),
    "plan": Help(
        "RECIPE",
        "Say what a recipe will need: memory, batch, bytes, multiply-adds and hours, for one branch and for all.",
        {
            "--gpu-memory-gb N": "of one accelerator, for the largest batch (default 40)",
            "--images-per-s N": "training images a second of one branch, for the hours",
            "--machines FILE": "which machine trains which branch, where they differ",
            "--script FOLDER": "with it, what to copy and to run on each of them",
            "--advise": "with it, which division of the work is the better one",
            "--measure": "time a few steps on this machine instead",
            "--images N": "images a node stores, where the set is your own",
            "--classes N": "its classes",
            "--batch-size N": "images of a step",
        },
        "plan resnet34-sub4-lean --images-per-s 500",
    ),
    "data": Help(
        "list | get NAME | inspect FOLDER",
        "List the named data sets, fetch one now instead of on first use, or say what split would see of a folder: "
        "classes, sizes, what would be skipped, duplicates.",
        {"--looked-at N": "pictures that inspect decodes (default 500); 0 is all"},
        "data list",
    ),
    "split": Help(
        "[RECIPE] --data FOLDER --out STORE",
        "Write the sub-datasets of an image set. Run again it resumes, and with more --bands it adds them.",
        {
            "--data FOLDER": "a folder of class folders, archives, shards, or a named set",
            "--labels FILE": "a table of labels for the pictures in that folder",
            "--out STORE": "folder of the store",
            "--stride S": "grid step in pixels; there are S*S bands (default 2)",
            "--transform NAME": "dct2d (default), dct1d, hadamard, identity, random or refft",
            "--canvas N": "side of the resized images, in pixels (default 256)",
            "--codec NAME": "zstd (default) is fastest to train from, webp is smaller",
            "--bands TEXT": "which bands to write, for example 0,3-5 (default all)",
            "--share 2/8": "the second of eight shares; other machines write others",
            "--workers N": "processes",
            "--max-bad N": "unreadable images allowed before the work stops",
            "--dry-run": "say what would be written, and write nothing",
        },
        "split --data pictures --out stores/mine --stride 2 --canvas 64",
    ),
    "verify": Help(
        "RUN | STORE",
        "Check every byte of a run or a store. Exit code 4 names what is damaged.",
        {"--repair": "compute again what can be, set damaged checkpoints aside", **_DATA},
        "verify runs/sub4",
    ),
    "reconstruct": Help(
        "STORE",
        "Invert the stored bands and print the PSNR against the images they came from.",
        _DATA,
        "reconstruct stores/mine --data pictures",
    ),
    "train": Help(
        "[RECIPE] --out RUN --store STORE",
        "Train the branches of a run. Killed and started again, it ends with the same weights.",
        {
            **_OUT,
            "--store STORE": "store to train from; RUN/store when left out",
            "--branch K": "this branch only; auto: that of this job of an array",
            "--jobs N": "branches trained at once (default 1)",
            **{flag: _RUN[flag] for flag in ("--model NAME", "--epochs N", "--batch-size N", "--lr RATE")},
            **_DRY_RUN,
        },
        "train photos-sub4 --out runs/sub4 --branch 0",
    ),
    "collect": Help(
        "RUN... --into RUN",
        "Copy the finished branches of run folders from machines that share nothing into one run, once configuration, "
        "store, hashes and versions are compared. Fields that differ are listed.",
        {
            "--into RUN": "the run to fuse; made where there is none",
            "--store STORE": "its store, if not RUN/store",
            "--low-resolution RUN": "a run on the pictures at 1/s of their size, as branch 0",
        },
        "collect runs/sub4 --into runs/together",
    ),
    "push": Help(
        "RUN|STORE ADDRESS",
        "Copy a run or a store to an object store or any address that fsspec knows, or publish it on a hub, "
        "hf:OWNER/NAME: a run as a released model, a store as a data set, with a card. What is there already is not "
        "sent again, and nobody reads half of it.",
        {
            "--controls RUN...": "hf: runs that the card compares this one with",
            "--license NAME": "hf: licence of weights or pictures, for the card",
            "--private": "hf: a repository that only its owner sees",
            "--out FOLDER": "hf: write what would be published there; send nothing",
        },
        "push stores/mine memory://stores/mine",
    ),
    "fuse": Help(
        "RUN",
        "Fit the fusion rule on the holdout, never on the reported set.",
        {
            "--fusion RULE": "mean, geometric, learned, greedy or head",
            "--use TEXT": "branches to fuse, for example 0,2-3 (default all)",
            **_CROPS,
            "--cascade SHARE": "say too what asking them in turn saves, such as 0.99",
            **_DEVICE,
        },
        "fuse runs/sub4 --fusion greedy",
    ),
    "evaluate": Help(
        "RUN",
        "Score every branch and the fusion on the reported set: top-1, top-5, NLL and ECE.",
        {
            **_CROPS,
            **_DATA,
            **_DEVICE,
            "--batch-size N": "images at a time",
            "--head": "train a fusion head too, and score it",
            "--max-bad N": "unreadable images allowed before the exit code is 3",
            "--record FOLDER": "copy the results there too, as RECIPE-seedN.json",
        },
        "evaluate runs/sub4",
    ),
    "predict": Help(
        "RUN PATH...",
        "Classify pictures with the fused branches: a row for each, whatever is wrong with it. - reads the paths from "
        "the standard input.",
        {
            "--top N": "classes to name for each picture (default 5)",
            "--table FILE": "write the rows too: .csv, .jsonl or .parquet",
            "--votes": "say too what every branch answers by itself",
            "--batch-size N": "pictures at a time (default 32)",
            **_DEVICE,
            "--mode NAME": "sequential (default), concurrent or stacked",
            "--cascade SHARE": "stop asking branches once the answer is sure, such as 0.99",
            "--max-bad N": "pictures that may fail before the exit code is 3",
        },
        "predict runs/sub4 pictures --top 3 --table rows.csv",
    ),
    "export": Help(
        "RUN -o PLACE",
        "Write the classifier of a run in a form to keep, to publish or to use elsewhere.",
        {
            "--format NAME": "bundle (default: weights, fusion, card), onnx, pt2, page",
            "--out PLACE": "-o: where to write; nothing may be there yet",
            "--controls RUN...": "bundle: runs that the card compares this one with",
            "--license NAME": "bundle: licence of the weights, for the card",
            "--input TYPE": "onnx, pt2: uint8 (default) or float32",
            "--int8": "onnx: 8 bits, with the accuracy of both",
            "--pictures PATH...": "not bundle: compare on these, not those of the run",
            "--runtime FOLDER": "page: onnxruntime-web, unpacked; npm when left out",
        },
        "export runs/sub4 --controls runs/again -o model",
    ),
    "reproduce": Help(
        "RESULT.json --out RUN",
        "Repeat a recorded result and compare every figure; the same machine and versions give the same digits.",
        {**_OUT, "--store STORE": "store to share with other runs of the same split"},
        "reproduce runs/sub4/results.json --out runs/again",
    ),
    "report": Help(
        "RUN...",
        "Write one self-contained page that compares runs, and the same as Markdown. The first run is the one "
        "reported, the others are its controls.",
        {
            "--out FILE.html": "the page; report.html in the first run when left out",
            "--tensorboard FOLDER": "not the page: metrics for TensorBoard, at any time",
        },
        "report runs/sub4 runs/again --out page.html",
    ),
    "doctor": Help(
        "",
        "Examine this machine: versions, devices, the file system of a folder, a training that is killed and resumed. "
        "Exit code 1 where something does not work.",
        {"--folder FOLDER": "where stores and runs are to be; nothing is left there"},
        "doctor --folder .",
    ),
    "completion": Help(
        "bash | zsh | fish",
        "Print a script that completes commands, options and recipes. It goes where the shell looks for one: "
        "~/.local/share/bash-completion/completions/bandwise, _bandwise in a folder of zsh's fpath, "
        "~/.config/fish/completions/bandwise.fish.",
        {},
        "completion bash",
    ),
}


def help_text(verb: str) -> str:
    """Return the screen of a command."""
    shown = HELP[verb]
    flags = {**shown.flags, "--json": "print one JSON object"}
    width = max(map(len, flags))
    return "\n".join(
        [
            f"usage: bandwise {' '.join((verb, *shown.takes.split()))} [options]",
            "",
            *textwrap.wrap(shown.what, _COLUMNS),
            "",
            *(f"  {flag:<{width}}  {text}" for flag, text in flags.items()),
            "",
            f"example: bandwise {shown.example}",
            f"all options: bandwise {verb} --help-all",
        ]
    )
