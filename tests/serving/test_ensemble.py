import hashlib
import json
import shutil

import numpy as np
import pytest
import torch

from bandwise.augment.bands import BandCutter
from bandwise.augment.standardise import BandStandardiser
from bandwise.checkpoints.branch import load_branch
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.documents import json_bytes, write_document
from bandwise.fusion.combination import Fusion
from bandwise.runs.logits import read_logits
from bandwise.runs.run import open_run
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.sources.decoding.decode import load_canvas
from bandwise.sources.folder import open_folder
from bandwise.store.reading.loader import BatchStream
from bandwise.store.reading.store import open_store


def canvases(run_path, split="val"):
    """The pictures of the reported set as (N, 3, canvas, canvas), in the order of the sample list."""
    config = open_run(run_path).config.split
    source = open_folder(run_path.parent / "pictures")
    paths = sorted(entry.path for entry in source.entries() if entry.split == split)
    pictures = np.stack([load_canvas(source, path, config)[0] for path in paths])
    return torch.from_numpy(pictures).permute(0, 3, 1, 2)


def step_folder(run_path, branch):
    return max((run_path / f"branch-{branch:02d}").glob("step-*"))


def rewrite(folder, name, content):
    """Change one file of a checkpoint and its commit record with it: only the content can then be found wrong."""
    (folder / name).write_bytes(content)
    commit = json.loads((folder / "COMMIT.json").read_text())
    commit["files"][name] = {"bytes": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    (folder / "COMMIT.json").write_bytes(json_bytes(commit))


def rewrite_state(folder, **changes):
    state = json.loads((folder / "state.json").read_text())
    rewrite(folder, "state.json", json.dumps(state | changes).encode())


@pytest.mark.parametrize("kind", ["finished", "half_precision"])
def test_what_is_served_is_what_was_trained_and_evaluated(kind, request):
    """A picture reaches each network as the same bits by serving and by the store; in equal batches so are logits."""
    run = open_run(request.getfixturevalue(kind))
    ensemble, batch = SpectralEnsemble.from_run(run.path), run.config.training.batch_size
    crop = run.config.training.crop // run.config.split.stride
    pictures = canvases(run.path)
    with torch.inference_mode():
        inputs = list(ensemble.inputs(pictures))
        served = torch.cat([ensemble.branch_logits(some) for some in pictures.split(batch)], dim=1).numpy()
        fused = ensemble(pictures).numpy()
    for branch, own in zip(ensemble.fusion.branches, inputs, strict=True):
        store = open_store(run.store_path, run.groups[branch])
        batches = BatchStream(store, run.groups[branch], "val", batch).batches()
        stored = torch.cat([each.images.clone() for each in batches])
        statistics = (store.mean(run.groups[branch]), store.std(run.groups[branch]))
        standardiser = BandStandardiser(store.transform, run.groups[branch], *statistics)
        for portable in (True, False):
            trained_on = BandCutter(standardiser, side=store.side, crop_side=crop, portable=portable).center(stored)
            assert torch.equal(own, trained_on)
    stored = [read_logits(run.logits_path("val", branch)).logits for branch in ensemble.fusion.branches]
    np.testing.assert_array_equal(served, stored)
    np.testing.assert_allclose(fused, ensemble.fusion.apply(stored), rtol=0, atol=1e-6 / ensemble.fusion.temperature)
    # Logits that hardly differ between pictures would prove nothing.
    assert np.std(stored, axis=1).min() > 1e-3


def test_loading_leaves_the_random_numbers_of_the_caller_alone(finished):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    SpectralEnsemble.from_run(finished)
    assert torch.equal(torch.rand(3), expected)


def test_what_it_knows_comes_from_the_run_alone(copied, ensemble):
    """No store, no data: a copied run folder is enough."""
    assert not (copied / "store").exists()
    loaded = SpectralEnsemble.from_run(str(copied))
    assert loaded.classes == ("class-0", "class-1", "class-2")
    assert (loaded.canvas, loaded.crop, loaded.channels) == (24, 18, 3)
    assert not loaded.training
    assert not any(weight.requires_grad for weight in loaded.parameters())
    images = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    assert torch.equal(loaded(images), ensemble(images))
    torch.testing.assert_close(loaded(images.float()), loaded(images), rtol=0, atol=0)


def test_only_the_central_crop_counts_and_it_starts_on_the_grid(ensemble):
    """(24 - 18) / 2 is 3 pixels; the nearest even number below is 2, which is where a crop of stored bands starts."""
    images = torch.randint(0, 256, (1, 3, 24, 24), dtype=torch.uint8)
    inside = torch.zeros(24, 24, dtype=torch.bool)
    inside[2:20, 2:20] = True
    outside_changed = torch.where(inside, images, 255 - images)
    assert torch.equal(ensemble(outside_changed), ensemble(images))
    for corner in ((2, 2), (19, 19)):  # the first and the last pixel of the crop
        changed = images.clone()
        changed[..., corner[0], corner[1]] ^= 255
        assert not torch.equal(ensemble(changed), ensemble(images))


def test_branches_of_weight_0_need_not_be_there(copied, ensemble):
    fusion = Fusion(rule="greedy", branches=(2, 0, 1), weights=(0.25, 0.75, 0.0), fitted_on="holdout", n_holdout=9)
    write_document(copied / "fusion.json", fusion.to_dict())
    shutil.rmtree(copied / "branch-01")
    images = torch.randint(0, 256, (2, 3, 24, 24), dtype=torch.uint8)
    parts = dict(zip(ensemble.fusion.branches, ensemble.branch_logits(images), strict=True))
    expected = 0.25 * parts[2] + 0.75 * parts[0]
    torch.testing.assert_close(SpectralEnsemble.from_run(copied)(images), expected, rtol=0, atol=1e-6)


def test_a_run_that_is_not_there_or_not_fused_is_refused(copied, tmp_path):
    with pytest.raises(UsageError, match="is no run"):
        SpectralEnsemble.from_run(tmp_path / "nothing")
    write_document(copied / "fusion.json", {"rule": "mean"})
    with pytest.raises(CorruptionError, match=r"fusion\.json is damaged"):
        SpectralEnsemble.from_run(copied)
    write_document(copied / "fusion.json", Fusion(rule="mean", branches=(7,), weights=(1.0,)).to_dict())
    with pytest.raises(CorruptionError, match=r"fuses the branches \[7\]; the run has 3"):
        SpectralEnsemble.from_run(copied)
    (copied / "fusion.json").unlink()
    with pytest.raises(UsageError, match="run `bandwise fuse"):
        SpectralEnsemble.from_run(copied)


def test_a_branch_of_other_data_is_refused(copied):
    folder = step_folder(copied, 1)
    store = json.loads((folder / "state.json").read_text())["store"]
    rewrite_state(folder, store=store | {"digest": "0" * 64, "classes": ["class-1", "class-0", "class-2"]})
    with pytest.raises(IncompatibleError, match=r"not trained on the same data:\n  classes: .*\n  digest: "):
        SpectralEnsemble.from_run(copied)


def test_as_many_branches_as_weights(finished):
    branch = load_branch(finished / "branch-00")
    with pytest.raises(UsageError, match=r"1 branches were given; the fusion has \[0, 1\]"):
        SpectralEnsemble([branch], Fusion(rule="mean", branches=(0, 1), weights=(0.5, 0.5)))
