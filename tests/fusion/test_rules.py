"""The rules by theorems, by hand, and by plain loops."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from bandwise.errors import UsageError
from bandwise.fusion.answers import BranchLogits
from bandwise.fusion.convex import best_temperature, negative_log_likelihoods
from bandwise.fusion.rules import RULES, fit, geometric_weights, greedy_counts, learned_weights, unfitted


def test_softmax_of_the_mean_is_the_normalised_geometric_mean(imagine):
    data = imagine(4, 50, 6)
    fused = softmax(unfitted("mean", data.branches).apply(data.logits), axis=1)
    geometric = np.exp(log_softmax(data.logits, axis=2).mean(axis=0))
    np.testing.assert_allclose(fused, geometric / geometric.sum(axis=1, keepdims=True), rtol=1e-12)


@pytest.mark.parametrize("rule", RULES)
def test_order_of_the_branches_does_not_matter(imagine, rule):
    data = imagine(5, 120, 4)
    order = [3, 0, 4, 2, 1]
    shuffled = BranchLogits(
        branches=tuple(order), ids=data.ids, labels=data.labels, logits=data.logits[order], split="holdout"
    )
    one, other = fit(rule, data), fit(rule, shuffled)
    assert dict(zip(other.branches, other.weights, strict=True)) == pytest.approx(
        dict(zip(one.branches, one.weights, strict=True)), abs=1e-6
    )
    np.testing.assert_allclose(other.apply(shuffled.logits), one.apply(data.logits), atol=1e-5)


@pytest.mark.parametrize("rule", RULES)
def test_a_single_branch_answers_as_before(imagine, rule):
    data = imagine(1, 100, 4)
    fusion = fit(rule, data)
    assert fusion.weights == pytest.approx((1.0,))
    np.testing.assert_allclose(fusion.apply(data.logits) * fusion.temperature, data.logits[0])


def test_geometric_weights_by_hand():
    """Two classes, four samples; branches right 2, 4, 3 times. With p = 1/2: ranks 2, 0, 1 and weights 1, 4, 2 of 7."""
    labels = np.array([0, 0, 1, 1])
    sign = np.array([[1, 1, 1, 1], [1, 1, -1, -1], [1, -1, -1, -1]])
    logits = np.stack([sign, -sign], axis=2).astype(float)
    np.testing.assert_allclose(geometric_weights(logits, labels, 0.5), np.array([1, 4, 2]) / 7)
    np.testing.assert_allclose(geometric_weights(logits, labels, 1.0), [0, 1, 0])


def test_geometric_ties_go_to_nll_then_to_the_first():
    labels = np.array([0, 1])
    right = np.array([[1.0, 0.0], [0.0, 1.0]])
    weights = geometric_weights(np.stack([right, 3 * right, right]), labels, 0.5)
    np.testing.assert_allclose(weights, np.array([2, 4, 1]) / 7)


def test_learned_beats_every_branch_and_the_mean_where_it_was_fitted(imagine):
    """Without a penalty it is the minimum over a set that holds all of them, at any temperature."""
    data = imagine(5, 150, 5, seed=3)
    weights, temperature = learned_weights(data.logits, data.labels, pull=0.0, ridge=0.0)
    learned = negative_log_likelihoods(np.tensordot(weights, data.logits, axes=1) / temperature, data.labels).mean()
    for rival in [*data.logits, data.logits.mean(axis=0)]:
        for choice in (1.0, best_temperature(rival[None], data.labels)):
            assert learned < negative_log_likelihoods(rival / choice, data.labels).mean()


def test_learned_is_better_than_the_mean_on_new_samples(imagine):
    """The claim that matters; the branches differ a lot in skill here, as bands do."""
    everything = imagine(6, 3000, 5, seed=5)
    part = BranchLogits(
        branches=everything.branches,
        ids=everything.ids[:300],
        labels=everything.labels[:300],
        logits=everything.logits[:, :300],
        split="holdout",
    )
    new_logits, new_labels = everything.logits[:, 300:], everything.labels[300:]
    nll = {rule: negative_log_likelihoods(fit(rule, part).apply(new_logits), new_labels).mean() for rule in RULES}
    assert nll["learned"] < nll["mean"] - 0.01


def test_branches_that_know_nothing_get_equal_weights():
    """Every image looks the same and the classes are as frequent as each other: no confidence is justified."""
    logits = np.tile(np.array([1.0, 0.0]), (3, 10, 1)) * np.array([1.0, 1.0, 1.0])[:, None, None]
    weights, temperature = learned_weights(logits, np.array([0, 1] * 5))
    np.testing.assert_allclose(weights, [1 / 3] * 3)
    assert temperature == 1000.0


@pytest.mark.parametrize("split", ["val", "train"])
@pytest.mark.parametrize("rule", RULES)
def test_fitting_on_anything_but_the_holdout_is_refused(imagine, rule, split):
    with pytest.raises(UsageError, match=f"cannot be fitted on the split '{split}'.*pass the holdout logits"):
        fit(rule, imagine(split=split))


def test_unknown_rule_and_ratio_are_refused(imagine):
    with pytest.raises(UsageError, match=r"rule 'median' is unknown; choose one of mean, geometric"):
        fit("median", imagine())
    with pytest.raises(UsageError, match="p is 0; it must be above 0 and at most 1"):
        fit("geometric", imagine(), p=0)


def plain_greedy(logits, labels, rounds):
    """Try every extension of the chosen list, one by one, from scratch."""
    temperature = best_temperature(logits.mean(axis=0)[None], labels)

    def nll(chosen):
        fused = np.mean([logits[branch] for branch in chosen], axis=0) / temperature
        return -np.mean([log_softmax(row)[label] for row, label in zip(fused, labels, strict=True)])

    chosen, history = [], []
    for _ in range(rounds):
        scores = [nll([*chosen, branch]) for branch in range(len(logits))]
        chosen.append(scores.index(min(scores)))
        history.append((min(scores), list(chosen)))
    best = min(history, key=lambda entry: entry[0])[1]
    return np.bincount(best, minlength=len(logits))


@pytest.mark.parametrize("seed", range(4))
def test_counts_are_those_of_the_plain_loop(imagine, seed):
    data = imagine(4, 60, 4, seed=seed)
    np.testing.assert_array_equal(
        greedy_counts(data.logits, data.labels, 12), plain_greedy(data.logits, data.labels, 12)
    )
