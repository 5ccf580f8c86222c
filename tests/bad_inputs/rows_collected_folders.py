"""Folders as people have them, by the names they were filed under: exit code, words and counts of each."""

from tests.bad_inputs.collected import (
    CLASSES,
    LACKS_REPORTED,
    TWO,
    UNSCORED,
    Collection,
    Files,
    Run,
    grey,
    photo,
    read,
    refused,
    splits,
    tree,
    white_icon,
)

NUMBERED = "{}.jpg"
PLACES = ("a/abbey", "a/airport", "b/bakery")
FISH = ("n01443537 goldfish", "n01629819 European fire salamander")
CSV = {"train.csv": b"image_id,label\n" + b"".join(b"%d.jpg,%s\n" % (n, TWO[n % 2].encode()) for n in range(24))}
NO_HOLDOUT = ("--holdout", "0", "--holdout-min", "0")
LIKE_SPLITS = "and these are called like splits: "


def odd_names() -> Files:
    """Return training pictures of which half have names that do not say that they are, as downloads have."""
    names = ("{}.jpg", "{}", "{}.jpg?w=200", "{}.jpg_large", "{}.JPG.1", "{}.jfif")
    odd = {f"train/{TWO[n % 2]}/{names[n // 2 % 6].format(n // 2)}": photo(n, n % 2) for n in range(24)}
    return odd | tree(splits(TWO, train=0), NUMBERED)


def kaggle() -> Files:
    """Return ImageNet-1K as Kaggle unpacks it, with two classes."""
    ids = [name.partition(" ")[0] for name in FISH]
    inside = {f"train/{each}": 8 for each in ids}
    made = tree({f"ILSVRC/Data/CLS-LOC/{folder}": count for folder, count in inside.items()}, "picture_{}.JPEG")
    made |= tree({"ILSVRC/Data/CLS-LOC/val": 6}, "ILSVRC2012_val_{:08d}.JPEG", first=1)
    rows = [f"ILSVRC2012_val_{number:08d},{ids[number % 2]} 1 2 3 4 " for number in range(1, 7)]
    made["LOC_val_solution.csv"] = "\n".join(["ImageId,PredictionString", *rows, ""]).encode()
    made["LOC_synset_mapping.txt"] = "\n".join(f"{name}, and other words" for name in FISH).encode()
    return made


FOLDERS: dict[str, Collection] = {
    "00-base": read(
        lambda: tree(splits()),
        "3 classes with 48 pictures, 'ant' (16) to 'cat' (16); 27 to train, 9 held out, 12 reported",
        runs=[Run(2, ["the fusion 'learned' of 2 branches"], NO_HOLDOUT)],
    ),
    "05-validation": read(lambda: tree(splits(reported="validation"))),
    "07-class-train": refused(
        lambda: tree(dict.fromkeys(("bus", "car", "train"), 12), NUMBERED),
        "if train is a class as 'bus' is, put all class folders into a folder",
    ),
    "08-class-test": refused(
        lambda: tree(dict.fromkeys(("exam", "quiz", "test"), 12), NUMBERED),
        "has test/ but no train/",
        "if test is a class, put all class folders into a folder train/",
    ),
    "09-dot-class": read(
        lambda: tree(splits(["ant", ".bee", "cat"])),
        "WARNING: 2 folders of",
        "begin with a dot: 'train/.bee', 'val/.bee'; rename them if they are meant",
        counts=(18, 6, 8),
        classes=("ant", "cat"),
    ),
    "12-macosx-flat": read(
        lambda: (
            tree(dict.fromkeys(CLASSES, 12), NUMBERED)
            | {f"__MACOSX/{name}/._0.jpg": b"\0\5\x16\7".ljust(80, b"\0") for name in CLASSES}
        ),
        "WARNING: 12-macosx-flat has no reported set",
        counts=(27, 9, 0),
        runs=[LACKS_REPORTED, UNSCORED],
    ),
    "120-places": refused(
        lambda: tree({f"{split}/{name}": n for split, n in (("train", 8), ("val", 3)) for name in PLACES}, NUMBERED),
        "class folders lie one level too deep: mv ",
        "/train/*/* ",
        " && mv ",
    ),
    "126-numeric": read(
        lambda: tree(splits(sorted(map(str, range(11))), 6, 2)),
        "11 classes with 88 pictures, '0' (8) to '9' (8)",
        counts=(33, 33, 22),
        classes=sorted(map(str, range(11))),
    ),
    "13-backslash": refused(
        lambda: tree({".": 24}, "train\\ant\\{}.jpg"), "names hold backslashes", "unpack it with `7z x` or `bsdtar -xf`"
    ),
    "14-nested": refused(
        lambda: tree({f"birds-dataset-master/{folder}": n for folder, n in splits().items()}),
        "did you mean --data ",
        "/14-nested/birds-dataset-master?",
    ),
    "15-trailing-blank": refused(
        lambda: tree(splits() | splits(["ant "], 6, 6)), "differ only in case, blanks or Unicode form: 'ant', 'ant '"
    ),
    "16-flat-test": refused(
        lambda: tree({"train/cat": 12, "train/dog": 12}) | tree({"test": 8}, NUMBERED),
        "/test have no class, so nothing can be scored on them: move that folder out of",
        "(`bandwise predict` classifies its pictures)",
    ),
    "17-val-misses": refused(
        lambda: tree(splits() | {"val/bee": 0}) | {"val/bee/.keep": b""}, "1 of 3 classes have no images in val: 'bee'"
    ),
    "172-bad-val": read(
        lambda: tree(splits()) | {f"val/ant/{n:03d}.jpg": b"no picture" + bytes([n]) for n in (1, 2)},
        "WARNING: 2 pictures were skipped, in every band: 2 unidentified; most in class 'ant' (2 of 16)",
        counts=(27, 9, 10),
        runs=[Run(3, ["WARNING: 2 pictures were skipped"])],
    ),
    "18-csv-flat": refused(
        lambda: tree({"train_images": 24}, NUMBERED) | CSV,
        LIKE_SPLITS + "'train_images'",
        "where 'train.csv' holds the labels, give it with --labels",
    ),
    "18-csv-flat, with its table": read(
        lambda: tree({"train_images": 24}, NUMBERED) | CSV,
        counts=(18, 6, 0),
        classes=TWO,
        flags=["--labels", "train.csv"],
    ),
    "one folder beside a table": read(
        lambda: tree({"pictures": 24}, NUMBERED) | CSV,
        "has one class folder; where 'train.csv' holds the labels, give it with --labels",
        counts=(20, 4, 0),
        classes=["pictures"],
    ),
    "191-Train-Test-flat": refused(
        lambda: tree({"Train": 20, "Test": 10}, NUMBERED),
        "lie outside class folders",
        "pictures of one class belong into a folder of its name, or a table into the folder (see --labels)",
    ),
    "20-odd-extensions": read(odd_names, "2 classes with 32 pictures", counts=(18, 6, 8), classes=TWO),
    "22-kaggle-imagenet": read(
        kaggle,
        "imagenet1k: 2 classes with 22 pictures, 'n01443537 goldfish' (11)",
        counts=(10, 6, 6),
        classes=FISH,
    ),
    "22-kaggle-imagenet, from within": read(
        kaggle, "2 classes with 22 pictures", counts=(10, 6, 6), classes=FISH, inside="ILSVRC/Data/CLS-LOC"
    ),
    "23-few-shot": read(lambda: tree(splits(train=4, val=2)), counts=(3, 9, 6)),
    "24-one-each": read(
        lambda: tree(splits(train=1, val=1)),
        "WARNING: nothing of 24-one-each is held out, for no class has two pictures to train on",
        counts=(3, 0, 3),
        runs=[Run(2, ["has 3 images to train on"])],
    ),
    "25-one-class": read(
        lambda: tree(splits(["ant"])),
        "WARNING: 25-one-class has one class; a classifier needs at least 2",
        counts=(9, 3, 4),
        classes=["ant"],
        runs=[Run(2, ["has one class"])],
    ),
    "27-kaggle-two-folders": refused(
        lambda: tree({"train_images": 24, "test_images": 12}, NUMBERED) | CSV,
        LIKE_SPLITS + "'test_images', 'train_images'",
        "where 'train.csv' holds the labels, give it with --labels",
    ),
    "28-cub": refused(
        lambda: (
            tree({"images/001.Black_footed_Albatross": 8, "images/002.Laysan_Albatross": 8})
            | {"classes.txt": b"1 001.Black", "train_test_split.txt": b"1 0\n2 1"}
        ),
        "did you mean --data ",
        "/28-cub/images?",
    ),
    "90-cwd": refused(
        lambda: tree({f"{name}/{folder}": n for name in ("mnist", "photos") for folder, n in splits().items()}),
        "--data 'photos' is the name of a set, and ./photos is in this folder too: give --data ./photos for what",
        inside="photos",
    ),
    "90-cwd, as a folder": read(
        lambda: tree({f"photos/{folder}": n for folder, n in splits().items()}), inside="./photos"
    ),
    "91-noval": read(
        lambda: tree({f"photos/{folder}": n for folder, n in splits(val=0).items()}),
        "WARNING: photos has no reported set",
        counts=(27, 9, 0),
        inside="./photos",
        runs=[LACKS_REPORTED],
    ),
    "93-12bit": read(
        lambda: tree(splits(TWO), "{}.png", grey(12)),
        "WARNING: 32 of 32 pictures have 16 bits, of which at most 12 are used: near black; give --depth 12",
        counts=(18, 6, 8),
        classes=TWO,
    ),
    "94-8in16": read(
        lambda: tree(splits(TWO), "{}.png", grey(8)),
        "WARNING: 32 of 32 pictures have one colour all over",
        counts=(18, 6, 8),
        classes=TWO,
        runs=[Run(2, ["the same in band 0"])],
    ),
    "95-white-icons": read(
        lambda: tree(splits(TWO), "{}.png", white_icon),
        "WARNING: 32 of 32 pictures have one colour all over",
        "may need another --background",
        counts=(18, 6, 8),
        classes=TWO,
    ),
    "96-gtsrb-ppm": read(
        lambda: tree(splits(["00000", "00001"]), "{:05d}.ppm", lambda number, label: photo(number, label, "PPM")),
        counts=(18, 6, 8),
        classes=("00000", "00001"),
    ),
    "170-no-holdout, the mean": read(
        lambda: tree(splits()), counts=(36, 0, 12), flags=NO_HOLDOUT, runs=[Run(0, flags=["--fusion", "mean"])]
    ),
    "171-no-holdout, one branch": read(
        lambda: tree(splits()), counts=(36, 0, 12), flags=NO_HOLDOUT, runs=[Run(0, flags=["--branches", "3"])]
    ),
}
