"""Why a fusion gains: the tables and charts against figures by hand."""

from dataclasses import replace

from tests.helpers.results import made_results
from tests.tools.test_blocks import same_picture
from tools.diversity import Count, Diversity, Pair
from tools.why import common_table, count_table, counts_svg, disagreement_svg, share_table

from bandwise.runs.documents import LeftOut

NAME = "imagewoof-sub4"


def studied(seed, disagreement, fused, average=0.55):
    return Diversity(
        name=NAME,
        seed=seed,
        data="d",
        n_eval=100,
        top1=(0.5, 0.4),
        pairs=(Pair(branches=(0, 1), disagreement=disagreement, double_fault=0.3),),
        counts=(
            Count(branches=(0,), mean=0.5, learned=0.5, average=0.45),
            Count(branches=(0, 1), mean=fused, learned=fused + 0.01, average=average),
        ),
    )


STUDIED = {NAME: [studied(0, 0.4, 0.6), studied(1, 0.6, 0.62)]}
LEFT_OUT = (LeftOut(branch=0, top1_gain=0.1, nll_gain=0.0), LeftOut(branch=1, top1_gain=0.05, nll_gain=0.0))
RESULTS = {NAME: [made_results(NAME, seed, 0.6, [0.5, 0.4], head=0.63, leave_one_out=LEFT_OUT) for seed in (0, 1)]}


def test_what_branches_have_in_common():
    row = common_table(RESULTS, STUDIED).rows[0]
    assert row[:6] == (NAME, "0, 1", "45.00 ± 0.00", "50.00 ± 0.00", "50.00 ± 14.14", "30.00 ± 0.00")
    assert row[6:] == ("61.00 ± 1.41", "16.00 ± 1.41", "62.00 ± 1.41", "63.00 ± 0.00")


def test_a_head_that_not_every_seed_has_is_left_out():
    assert common_table({NAME: RESULTS[NAME][:1]}, STUDIED).rows[0][-1] == ""


def test_the_number_of_branches():
    rows = count_table(STUDIED).rows
    assert rows[0] == (NAME, "any, mean", "45.00 ± 0.00", "55.00 ± 0.00")
    assert rows[1] == (NAME, "best on the holdout, learned", "50.00 ± 0.00", "62.00 ± 1.41")
    many = {NAME: [replace(studied(0, 0.4, 0.6), counts=(Count(branches=(0,), mean=0.5, learned=0.5, average=None),))]}
    assert [row[1] for row in count_table(many).rows] == ["best on the holdout, learned"]


def test_the_share_of_each_band():
    rows = share_table(RESULTS, STUDIED).rows
    # Energies are the cubes of the accuracies: 0.125 and 0.064.
    assert rows[0][:5] == (NAME, "0", "66.14 ± 0.00", "50.00 ± 0.00", "10.00 ± 0.00")
    assert rows[1][1] == "1"
    assert rows[1][4] == "5.00 ± 0.00"
    assert share_table({}, STUDIED).rows == ()


def test_the_charts_show_the_figures():
    assert same_picture(counts_svg(STUDIED), counts_svg(STUDIED))
    other = {NAME: [studied(0, 0.4, 0.6), studied(1, 0.6, 0.62, average=0.65)]}
    assert not same_picture(counts_svg(STUDIED), counts_svg(other))
    other = {NAME: [studied(0, 0.4, 0.6), studied(1, 0.7, 0.62)]}
    assert not same_picture(disagreement_svg(STUDIED), disagreement_svg(other))
    assert "sub4" in counts_svg(STUDIED)
