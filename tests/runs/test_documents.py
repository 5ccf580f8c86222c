"""`summary.json` and `results.json` as typed documents: every recorded result reads back to its own bytes."""

import copy
from pathlib import Path

import pytest

from bandwise.errors import CorruptionError
from bandwise.files.documents import json_bytes, read_document, write_document
from bandwise.runs.documents import InitialWeights, Results, Scores, Summary, read_results, read_summary, write_summary

RECORDED = sorted((Path(__file__).parents[2] / "results").glob("*.json"))
SUMMARY = Summary(
    branch=1,
    bands=(0, 2),
    epochs=3,
    steps=12,
    params=100,
    n_train=64,
    train_loss=None,
    holdout=Scores(n=4, top1=0.5, top5=1.0, nll=0.7, ece=0.1),
    wall_s=2.5,
    cpu_s=None,
    images_per_s=30.0,
    peak_bytes=1 << 20,
    seed=0,
    threads=1,
    from_scratch=False,
    initial_checkpoint=InitialWeights(name="branch-00", sha256="0" * 64),
    versions={"torch": "2"},
)


@pytest.fixture(scope="module")
def recorded() -> dict:
    return read_document(RECORDED[0])


def test_every_recorded_result_reads_back_to_its_bytes():
    assert RECORDED
    for path in RECORDED:
        assert json_bytes(read_results(path).to_dict()) == json_bytes(read_document(path)), path


def test_a_summary_reads_back(tmp_path):
    write_summary(tmp_path, SUMMARY)
    assert read_summary(tmp_path) == SUMMARY
    assert read_document(tmp_path / "summary.json")["cpu_s"] is None


def test_a_summary_of_a_version_without_processor_time_is_read(tmp_path):
    content = SUMMARY.to_dict()
    del content["cpu_s"]
    write_document(tmp_path / "summary.json", content)
    assert read_summary(tmp_path) == SUMMARY


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"epochs": None}, r"summary\.json lacks epochs; it is not the summary of a branch: remove it and run"),
        ({"epochs": "3"}, "epochs is '3'; it must be a whole number; it is not the summary of a branch"),
        ({"epochs": True}, "epochs is True"),
        ({"bands": [0, "x"]}, r"bands\.1 is 'x'"),
        ({"holdout": {"n": 4}}, r"lacks holdout\.top1, holdout\.top5, holdout\.nll, holdout\.ece"),
        ({"versions": []}, r"versions is \[\]; it must be an object"),
    ],
)
def test_what_is_wrong_in_a_summary_is_named(tmp_path, change, message):
    content = {key: value for key, value in {**SUMMARY.to_dict(), **change}.items() if value is not None}
    write_document(tmp_path / "summary.json", content)
    with pytest.raises(CorruptionError, match=message):
        read_summary(tmp_path)


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("format", "x", "r.json is no result of a run$"),
        ("version", 2, "r.json lacks a format that this program reads; write it again"),
        ("fused.top1", "0.5", "fused.top1 is '0.5'; it must be a number; write it again with `bandwise evaluate`"),
        ("branches", [], "lacks a branch"),
        ("rules.mean.weights", {}, "rules.mean.weights is {}; it must be a list"),
        ("cost", {}, "lacks cost.params_per_branch, cost.params_total"),
    ],
)
def test_what_is_wrong_in_results_is_named(recorded, key, value, message):
    content = copy.deepcopy(recorded)
    *above, last = key.split(".")
    part = content
    for name in above:
        part = part[name]
    part[last] = value
    with pytest.raises(CorruptionError, match=message):
        Results.parse(content, "r.json")
