"""Diversity of branches against counts by hand, and the files of it."""

import numpy as np
import pytest
from tools.diversity import Diversity, compare_branches, main, read_diversity

from bandwise.files.documents import write_document
from bandwise.files.schema import plain
from bandwise.fusion.answers import BranchLogits

LABELS = np.array([0, 0, 0, 1, 1, 1, 2, 2])


def answering(*answers, split="val"):
    """Return the logits of branches that answer so, each surer than the one before it."""
    logits = np.array([[(place + 1) * np.eye(3)[answer] for answer in own] for place, own in enumerate(answers)])
    return BranchLogits(tuple(range(len(answers))), np.arange(8), LABELS, logits, split)


FIRST = [0, 0, 0, 1, 1, 1, 0, 0]  # Right but for the last two.
SECOND = [0, 0, 1, 1, 1, 0, 2, 1]  # Wrong at 2, 5 and 7.
THIRD = [2, 2, 2, 2, 2, 2, 2, 2]


def test_pairs_by_hand():
    pairs, _ = compare_branches(answering(FIRST, SECOND, THIRD, split="holdout"), answering(FIRST, SECOND, THIRD))
    assert [pair.branches for pair in pairs] == [(0, 1), (0, 2), (1, 2)]
    # The first two differ at 2, 5, 6 and 7, and only at 7 are both wrong.
    assert (pairs[0].disagreement, pairs[0].double_fault) == (4 / 8, 1 / 8)
    assert (pairs[1].disagreement, pairs[1].double_fault) == (1.0, 0.0)


def test_branches_are_chosen_on_the_holdout_and_scored_on_the_reported_images():
    # On the holdout the second is best, then the first.
    holdout = answering(SECOND, FIRST, THIRD, split="holdout")
    _, counts = compare_branches(holdout, answering(FIRST, SECOND, THIRD))
    assert [count.branches for count in counts] == [(1,), (1, 0), (1, 0, 2)]
    assert counts[0].mean == counts[0].learned == 5 / 8
    assert counts[0].average == pytest.approx((6 + 5 + 2) / 24)
    # The surer of two decides: the second over the first, the third over both.
    assert counts[1].mean == 5 / 8
    assert counts[1].average == pytest.approx((5 + 2 + 2) / 24)
    assert counts[2].mean == counts[2].average


def test_of_many_branches_not_every_choice_is_tried():
    many = [FIRST] * 7
    _, counts = compare_branches(answering(*many, split="holdout"), answering(*many))
    assert len(counts) == 7
    assert {count.average for count in counts} == {None}
    assert counts[6].mean == 6 / 8


def test_files_are_read_back_in_the_order_of_the_seeds(tmp_path):
    pairs, counts = compare_branches(answering(FIRST, SECOND, split="holdout"), answering(FIRST, SECOND))
    for seed in (10, 2):
        own = Diversity(name="x", seed=seed, data="d", n_eval=8, top1=(0.75, 0.5), pairs=pairs, counts=counts)
        write_document(tmp_path / f"x-seed{seed}.json", plain(own))
    found = read_diversity(tmp_path)
    assert [own.seed for own in found["x"]] == [2, 10]
    assert found["x"][0].pairs == pairs
    assert found["x"][0].counts == counts
    assert read_diversity(tmp_path / "nothing") == {}


def test_a_folder_that_is_no_run(tmp_path, capsys):
    assert main([str(tmp_path / "none"), "--into", str(tmp_path)]) == 2
    assert "tools: " in capsys.readouterr().err
