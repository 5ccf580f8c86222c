"""Configuration: notation of bands, ranges, strict merging, files."""

import json
from dataclasses import replace

import pytest

from bandwise.config import (
    AugmentConfig,
    FusionConfig,
    RunConfig,
    SplitConfig,
    TrainingConfig,
    parse_bands,
    parse_branches,
    to_dict,
)
from bandwise.config.configfile import config_from_dict, config_text, differences, merge, read_config_file
from bandwise.errors import UsageError
from bandwise.recipes.catalog import find_recipe


def test_bands():
    wanted = {"all": (0, 1, 2, 3), "0": (0,), "0,2-3": (0, 2, 3), "3,0": (0, 3), " 1 , 2 ": (1, 2)}
    assert {text: parse_bands(text, 4) for text in wanted} == wanted


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "is not a band"),
        ("4", "outside 0 to 3"),
        ("2-9", "outside 0 to 3"),
        ("3-1", "outside"),
        ("1,1", "stands twice"),
        ("0-2,1", "stands twice"),
        ("-1", "is not a band"),
        ("a", "is not a band"),
        ("1.5", "is not a band"),
        ("²", "is not a band"),
    ],
)
def test_bands_that_are_none(text, message):
    with pytest.raises(UsageError, match=message):
        parse_bands(text, 4)


def test_branches():
    assert parse_branches("0;0,1;0,2-3", (0, 1, 2, 3), 4) == ((0,), (0, 1), (0, 2, 3))
    assert parse_branches("each", (0, 3), 4) == ((0,), (3,))
    assert parse_branches("0;0;0", (0,), 1) == ((0,), (0,), (0,))
    with pytest.raises(UsageError, match="at most 1024"):
        parse_branches(";".join(["0"] * 1025), (0,), 1)


@pytest.mark.parametrize(
    ("section", "values", "message"),
    [
        (SplitConfig, {"stride": 0}, "stride is 0; it must be at least 1 and at most 8"),
        (SplitConfig, {"stride": 9, "canvas": 252}, "at most 8"),
        (SplitConfig, {"stride": 3, "canvas": 256}, "for example 255 or 258"),
        (SplitConfig, {"stride": 3, "canvas": 255, "transform": "hadamard"}, "1, 2, 4 or 8"),
        (SplitConfig, {"holdout": 0.9}, "at most 0.5"),
        (SplitConfig, {"background": 256}, "at most 255"),
        (SplitConfig, {"group_size": 100}, "a multiple of 256"),
        (SplitConfig, {"storage": "float16", "codec": "webp"}, "zstd when storage is float16"),
        (SplitConfig, {"bands": "0,7"}, "outside 0 to 3"),
        (TrainingConfig, {"lr": 0.0}, "lr is 0.0; it must be above 0"),
        (TrainingConfig, {"lr": float("nan")}, "lr is nan"),
        (TrainingConfig, {"lr": float("inf")}, "lr is inf"),
        (TrainingConfig, {"epochs": -1}, "epochs is -1"),
        (TrainingConfig, {"epochs": 2, "warmup_epochs": 2}, "below epochs"),
        (TrainingConfig, {"keep_checkpoints": 1}, "at least 2"),
        (AugmentConfig, {"hflip": 1.5}, "hflip is 1.5"),
        (FusionConfig, {"p": 0.0}, "fusion-p is 0.0"),
        (RunConfig, {"training": TrainingConfig(crop=225)}, "a multiple of the stride 2"),
        (RunConfig, {"training": TrainingConfig(crop=258)}, "at most the canvas 256"),
        (RunConfig, {"split": SplitConfig(bands="0,1"), "branches": "0;2"}, r"\[2\] are not in '0,1'"),
    ],
)
def test_values_out_of_range(section, values, message):
    with pytest.raises(UsageError, match=message):
        section(**values)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"split": {"strid": 4}}, "unknown key split.strid; did you mean stride"),
        ({"trainings": {}}, "did you mean training"),
        ({"zzz": 1}, "allowed here: name, data"),
        ({"split": 3}, "split must be a mapping"),
        ([1], "the configuration must be a mapping"),
        ({"training": {"lr": "1e-3"}}, "write 1.0e-3 or 0.001"),
        ({"training": {"epochs": "3"}}, "must be a whole number"),
        ({"training": {"epochs": 3.5}}, "must be a whole number"),
        ({"training": {"epochs": True}}, "must be a whole number"),
        ({"initial_branch": "abc"}, "must be a whole number or null"),
        ({"augment": {"random_crop": 1}}, "must be true or false"),
        ({"split": {"codec": "jpeg"}}, "it must be one of zstd, webp"),
        ({"data": {"data": "a\nb"}, "split": {"stride": 99}}, "stride is 99"),
    ],
)
def test_strict_merging(content, message):
    with pytest.raises(UsageError, match=message):
        config_from_dict(content)


def test_merging_changes_only_what_is_named():
    config = merge(RunConfig(name="x"), {"split": {"stride": 4}, "training": {"lr": 1}})
    assert config.split.stride == 4
    assert config.training.lr == 1.0
    assert isinstance(config.training.lr, float)
    assert differences(to_dict(RunConfig(name="x")), to_dict(config)) == [
        "split.stride: 2 -> 4",
        "training.lr: 0.05 -> 1.0",
    ]


def test_every_field_reaches_the_dictionary_and_comes_back():
    config = RunConfig()
    assert config_from_dict(json.loads(json.dumps(to_dict(config)))) == config


@pytest.mark.parametrize("name", ["cifar10-best", "resnet50-sub4", "cifar10-baseline-progressive"])
def test_what_is_printed_can_be_saved_and_run(tmp_path, name):
    config = replace(find_recipe(name).config, name="yes: 1")
    path = tmp_path / "printed.yaml"
    path.write_text(config_text(to_dict(config)), encoding="utf-8")
    assert merge(RunConfig(), read_config_file(path)) == config
