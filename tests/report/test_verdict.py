"""The sentences say what the numbers say, losses first; the paired comparison against scipy and by hand."""

import dataclasses

import numpy as np
import pytest
import scipy.stats

from bandwise.config import AugmentConfig, RunConfig, SplitConfig
from bandwise.report.verdict import Paired, compare, comparisons, verdict, why_not_comparable
from bandwise.report.view import branch_name, describe, is_baseline, read_view


@pytest.fixture
def views(tmp_path, imagine_run, sub4_config, baseline_config):
    def build(branch_skills, baseline_skill, **options):
        first = imagine_run(tmp_path / "a", sub4_config, branch_skills, **options)
        other = imagine_run(tmp_path / "b", baseline_config, [baseline_skill], seed=7, **options)
        return read_view(first), read_view(other)

    return build


def test_a_method_that_loses_says_so_first(views):
    first, other = views([1.0, 0.5, 0.3, 0.5], 6.0)
    statements = verdict(first, comparisons(first, [other]))
    assert statements[0].tone == "bad"
    assert statements[0].text.startswith(
        "The fusion of photos-sub4 loses to photos-baseline (one network on the whole image)"
    )
    assert statements[1].text.endswith("clearly worse.")


def test_a_method_that_wins_names_what_it_is_ahead_of(views):
    first, other = views([2.0, 2.0, 2.0, 2.0], 0.5)
    statements = verdict(first, comparisons(first, [other]))
    assert statements[0].tone == "good"
    assert "is ahead of photos-baseline (one network on the whole image)" in statements[0].text
    assert "best branch on the holdout" in statements[0].text


def test_a_difference_within_chance_is_called_that(views):
    first, other = views([2.4, 0.2, 0.2, 0.2], 2.4)
    against = next(
        s for s in verdict(first, comparisons(first, [other])) if s.text.startswith("Against photos-baseline")
    )
    assert against.text.endswith("no clear difference.")


def test_the_numbers_in_the_sentence_are_those_of_the_answers(views):
    first, other = views([1.5, 1.0, 0.5, 1.0], 1.8)
    paired = comparisons(first, [other])[0].paired
    ours, theirs = first.answers.right, other.answers.right
    assert paired.only_first == int((ours & ~theirs).sum())
    assert paired.difference == pytest.approx(first.results.fused.top1 - other.results.fused.top1)
    text = verdict(first, comparisons(first, [other]))[1].text
    assert f"right alone on {paired.only_first}, wrong alone on {paired.only_second}" in text


def test_nothing_learned_is_said_before_everything_else(views):
    first, other = views([0.0, 0.0, 0.0, 0.0], 0.0)
    statement = verdict(first, comparisons(first, [other]))[0]
    assert statement.tone == "bad"
    assert "is not clearly more than always naming the largest class" in statement.text


def test_the_low_resolution_branch_is_compared_where_another_is_best(views):
    first, _ = views([1.0, 2.5, 0.3, 0.3], 1.0)
    names = [comparison.name for comparison in comparisons(first, [])]
    assert names == ["its best branch on the holdout", "its branch 0, which is the low-resolution control"]


def test_a_single_network_has_no_fusion_to_judge(tmp_path, imagine_run, baseline_config):
    view = read_view(imagine_run(tmp_path / "one", baseline_config, [2.0]))
    assert comparisons(view, []) == []
    assert verdict(view, []) == []


def test_other_data_is_not_compared_image_by_image(tmp_path, imagine_run, sub4_config, baseline_config):
    first = read_view(imagine_run(tmp_path / "a", sub4_config, [2.0, 1.0, 1.0, 1.0]))
    other = read_view(imagine_run(tmp_path / "b", baseline_config, [2.0], classes=("one", "two", "three")))
    assert why_not_comparable(first, other) == "photos-baseline was made with other data (photos, 3 classes)"
    text = verdict(first, comparisons(first, [other]))[1].text
    assert "not compared image by image, because photos-baseline was made with other data" in text


def test_other_labels_are_not_compared(views):
    first, other = views([2.0, 1.0, 1.0, 1.0], 2.0)
    turned = dataclasses.replace(other.answers, labels=np.roll(other.answers.labels, 1))
    assert "numbers its images in another way" in why_not_comparable(first, dataclasses.replace(other, answers=turned))


@pytest.mark.parametrize(
    ("split", "branches", "text"),
    [
        ({"stride": 1, "transform": "identity"}, "0", "one network on the whole image"),
        ({"stride": 1, "transform": "identity"}, "0;0;0;0", "4 networks on the whole image"),
        ({}, "each", "4 dct2d bands of stride 2, a network each"),
        ({"transform": "dct1d"}, "0;1;3", "3 dct1d bands of stride 2, a network each"),
        ({}, "0", "one network on the low-resolution band of stride 2"),
        ({}, "0;0", "2 networks on the low-resolution band of stride 2"),
        ({}, "0,1,2,3", "4 dct2d bands of stride 2 in one network"),
        ({}, "3", "1 dct2d band of stride 2 in one network"),
        ({}, "0;0,1;0,2", "3 networks on groups of dct2d bands of stride 2"),
        ({"transform": "identity"}, "each", "4 phases of stride 2 without a transform, a network each"),
    ],
)
def test_a_run_is_named_by_its_configuration(split, branches, text):
    config = RunConfig(split=SplitConfig(**split), branches=branches, augment=AugmentConfig(hflip=0.0))
    assert describe(config) == text
    assert is_baseline(config) == (text == "one network on the whole image")


def test_only_a_mean_band_is_the_low_resolution_control():
    assert branch_name(RunConfig(), 0) == "branch 0, which is the low-resolution control"
    assert branch_name(RunConfig(), 2) == "branch 2 (band 2)"
    assert branch_name(RunConfig(branches="0,1;2,3"), 0) == "branch 0 (bands 0, 1)"
    assert branch_name(RunConfig(split=SplitConfig(transform="identity")), 0) == "branch 0 (band 0)"
    assert branch_name(RunConfig(split=SplitConfig(stride=1)), 0) == "branch 0 (whole image)"


@pytest.mark.parametrize(("first", "second"), [(0, 0), (1, 0), (5, 5), (117, 127), (3, 30), (4000, 4200)])
def test_p_value_is_the_binomial_test_of_scipy(first, second):
    expected = scipy.stats.binomtest(first, first + second, 0.5).pvalue if first + second else 1.0
    assert Paired(10_000, first, second).p_value == pytest.approx(expected, rel=1e-9)


def test_difference_and_error_by_hand():
    """Six images, right alone on 3 and 1: difference 1/3; differences are three +1, one -1 and two 0."""
    first = np.array([1, 1, 1, 0, 1, 0], dtype=bool)
    second = np.array([0, 0, 0, 1, 1, 0], dtype=bool)
    paired = compare(first, second)
    assert (paired.n, paired.only_first, paired.only_second) == (6, 3, 1)
    assert paired.difference == pytest.approx(1 / 3)
    assert paired.standard_error == pytest.approx((first.astype(float) - second).std() / np.sqrt(6))


def test_order_turns_the_sign_and_keeps_the_p_value():
    one, other = Paired(100, 20, 8), Paired(100, 8, 20)
    assert one.difference == -other.difference
    assert one.p_value == other.p_value
    assert one.is_clear
    assert not Paired(100, 10, 8).is_clear
