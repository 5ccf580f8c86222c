"""The training bench runs; its peers train on the same pictures."""

from pathlib import Path

import pytest
import torch
from benchmarks import train, trainpeers
from benchmarks.figures import Options, Spread
from benchmarks.measuring import Race
from benchmarks.trainpeers import memory_of

from bandwise.config import RunConfig
from bandwise.sources.folder import open_folder
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import open_store


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("train")
    return scratch, {figure.name: figure for figure in train.measure(Options("none", True, scratch))}


def test_every_promise_has_a_figure(measured):
    figures = measured[1]
    reaches = {name: figure.reach.value for name, figure in figures.items() if figure.reach}
    assert reaches["train/loop over bare loop"] == 0.97
    assert reaches["train/loop over timm"] == 1.0
    assert reaches["train/checkpoints"] == 0.01
    one, four = (figures[f"train/{name} over whole image"] for name in ("one branch", "all four branches"))
    assert one.ratio == pytest.approx(4 * four.ratio)
    assert one.peers["whole image"] == four.peers["whole image"] > 0
    if not torch.cuda.is_available():
        assert figures["train/resnet34-sub4-lean/accelerator"].holds is None


def test_the_peers_see_the_normalised_band(measured):
    """The batches of the bare loop against those of the store, normalised by hand."""
    scratch = measured[0]
    config = train._prepared(open_folder(scratch / "pictures"), train._LEAST, 2, scratch / "again")[0]
    store = open_store(scratch / "store-2")
    memory = memory_of(config, scratch / "store-2")
    first = next(BatchStream(store, (0,), "train", 4).batches())
    crop = config.training.crop // 2
    by_hand = (
        first.images[:, :, :crop, :crop].double() - torch.from_numpy(store.mean((0,))[0])[:, None, None]
    ) / torch.from_numpy(store.std((0,))[0])[:, None, None]
    torch.testing.assert_close(memory.images[:4].double(), by_hand, rtol=1e-5, atol=1e-5)
    assert memory.labels[:4].tolist() == first.labels.tolist()


def test_everybody_takes_a_step_after_each_of_ours(monkeypatch):
    """With a clock that only the steps move, every loop gets its own seconds, whoever comes first."""
    now, calls = [0.0], []
    monkeypatch.setattr(train.time, "process_time", lambda: now[0])

    def step(name, seconds):
        def take():
            calls.append(name)
            now[0] += seconds

        return take

    turns = train._Turns({train._WHOLE: step("whole", 9), "a": step("a", 2), "b": step("b", 3)})
    for number in range(1, 9):
        now[0] += 1
        turns(number)
    assert [sorted(row) for row in turns.rows[1:3]] == [["a", "b", "ours"], ["a", "b", "ours", train._WHOLE]]
    for row in turns.rows:
        assert all(seconds == {"ours": 1, "a": 2, "b": 3, train._WHOLE: 9}[name] for name, seconds in row.items())
    assert calls[:4] == ["b", "a", "a", "b"]
    assert calls.count("a") == calls.count("b") == 8
    assert calls.count("whole") == 2


def test_steps_that_save_or_warm_up_do_not_count(monkeypatch):
    """Two epochs of six steps; only the middle ones of the second are in the race."""
    rows = [{"ours": 100.0 * number, "a": 1.0, train._WHOLE: 4.0} for number in range(12)]

    def pretend(config, store, folder, branch, *, on_step):
        assert config.training.epochs == 2
        on_step.rows.extend(rows)

    monkeypatch.setattr(train, "train_branch", pretend)
    found, saving = train._race(RunConfig(), Path(), Path(), {"a": lambda: None}, iter(()), 1)
    assert found.seconds["ours"] == [900 / RunConfig().training.batch_size]
    assert set(found.seconds) == {"ours", "a", train._WHOLE}
    # The last step took 1100 s, which is 200 s more than a usual one; a checkpoint is due after 200 of those.
    assert saving == [200.0]
    share = train._checkpoint_share(found, saving, RunConfig().training)
    assert share.ratio == pytest.approx(200 / (200 * 900))
    assert share.holds


def test_the_rate_is_one_over_the_time():
    assert train._rates(Race({"ours": [0.5], "x": [1.0]}), "n", "x", ("x",), None, "").ratio == 2
    assert Spread.of([1.0]).repeats == 1


def test_peers_choose_their_own_algorithms_and_go_on_for_ever(measured):
    """The deterministic algorithms of our loop are switched off for them, and on again."""
    scratch = measured[0]
    config = train._prepared(open_folder(scratch / "pictures"), train._LEAST, 2, scratch / "again")[0]
    batches, seen = [(torch.zeros(1), torch.zeros(1))] * 2, []
    step = trainpeers._endless(batches, lambda *_: seen.append(torch.are_deterministic_algorithms_enabled()))
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        for _ in range(5):
            step()
        assert torch.are_deterministic_algorithms_enabled()
    finally:
        torch.use_deterministic_algorithms(before)
    assert seen == [False] * 5
    learned = trainpeers.bare_loop(config, memory_of(config, scratch / "store-2"))
    for _ in range(4):
        learned()
