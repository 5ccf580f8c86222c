"""The training bench runs; its peers train on the same pictures."""

import pytest
import torch

from bandwise.bench import train
from bandwise.bench.figures import Spread
from bandwise.bench.options import Options
from bandwise.bench.timing import Race
from bandwise.bench.trainpeers import memory_of
from bandwise.sources.folder import FolderSource
from bandwise.store.format import open_store
from bandwise.store.loader import BatchStream


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    scratch = tmp_path_factory.mktemp("train")
    return scratch, {figure.name: figure for figure in train.measure(Options("none", True, scratch))}


def test_every_promise_has_a_figure(measured):
    figures = measured[1]
    reaches = {name: figure.reach.value for name, figure in figures.items() if figure.reach}
    assert reaches["train/loop over bare loop"] == 0.97
    assert reaches["train/loop over timm"] == 1.0
    one, four = (figures[f"train/{name} over whole image"] for name in ("one branch", "all four branches"))
    assert one.ratio == pytest.approx(4 * four.ratio)
    assert one.peers["whole image"] == four.peers["whole image"] > 0
    if not torch.cuda.is_available():
        assert figures["train/resnet34-sub4-lean/accelerator"].holds is None


def test_the_peers_see_the_normalised_band(measured):
    """The batches of the bare loop against those of the store, normalised by hand."""
    scratch = measured[0]
    config = train._prepared(FolderSource(scratch / "pictures"), train._LEAST, 2, scratch / "again")[0]
    store = open_store(scratch / "store-2")
    memory = memory_of(config, scratch / "store-2")
    first = next(BatchStream(store, (0,), "train", 4).batches())
    crop = config.training.crop // 2
    by_hand = (
        first.images[:, :, :crop, :crop].double() - torch.from_numpy(store.mean((0,))[0])[:, None, None]
    ) / torch.from_numpy(store.std((0,))[0])[:, None, None]
    torch.testing.assert_close(memory.images[:4].double(), by_hand, rtol=1e-5, atol=1e-5)
    assert memory.labels[:4].tolist() == first.labels.tolist()


def test_loops_take_turns_and_the_first_round_does_not_count():
    calls = []

    def loop(name, value):
        return lambda: calls.append(name) or value

    found = train._take_turns({"a": loop("a", 1.0), "b": loop("b", 2.0)}, 2)
    assert isinstance(found, Race)
    assert found.seconds == {"a": [1.0, 1.0], "b": [2.0, 2.0]}
    assert len(calls) == 6
    assert calls[2:4] != calls[4:6]
    assert train._rates(Race({"ours": [0.5], "x": [1.0]}), "n", "x", ("x",), None, "").ratio == 2
    assert Spread.of([1.0]).repeats == 1
