"""Weights to start from: what is loaded, what is adapted, what is refused, and what the files say about it."""

from dataclasses import replace

import pytest
import torch
from safetensors.torch import save_file
from tests.training.tiny import CONFIG, CrashError, crash_at, outcome
from torch import nn

from bandwise.checkpoints.folder import read_checkpoint, steps
from bandwise.errors import CorruptionError, IncompatibleError, UsageError
from bandwise.files.regular import sha256_file
from bandwise.models.zoo import create_branch
from bandwise.training.start import StartFromFile, adapt_filters, find_initial
from bandwise.training.trainer import train_branch


def network(classes: int = 5, channels: int = 3) -> nn.Module:
    return create_branch("resnet8", num_classes=classes, in_channels=channels, input_size=16, stem="dense")


def saved(path, tensors: dict[str, torch.Tensor]) -> StartFromFile:
    save_file({name: value.contiguous() for name, value in tensors.items()}, path)
    return StartFromFile(path, "")


def starting_from(path, config=CONFIG):
    return replace(config, network=replace(config.network, initial_checkpoint=str(path)))


def test_weights_of_timm_in_half_precision_load_into_ours(tmp_path):
    import timm

    reference = timm.create_model("resnet34", num_classes=7)
    half = {
        name: value.half() if value.is_floating_point() else value for name, value in reference.state_dict().items()
    }
    ours = create_branch("resnet34", num_classes=7, in_channels=3, input_size=64)
    saved(tmp_path / "a.safetensors", half).load(ours, num_classes=7, bands=(0,), channels=3)
    for name, value in ours.state_dict().items():
        assert torch.equal(value, half[name].to(value.dtype))


def test_other_classes_keep_everything_but_the_classifier(tmp_path, capsys):
    source, target = network(classes=9), network(classes=5)
    drawn = {name: value.clone() for name, value in target.state_dict().items()}
    saved(tmp_path / "a.safetensors", source.state_dict()).load(target, num_classes=5, bands=(0,), channels=3)
    for name, value in target.state_dict().items():
        assert torch.equal(value, drawn[name] if name.startswith("fc.") else source.state_dict()[name])
    assert "its classifier has 9 classes, so one of 5 is newly drawn" in capsys.readouterr().err


@pytest.mark.parametrize(("bands", "channels", "colours"), [(3, 3, 3), (1, 1, 3), (4, 1, 3), (1, 3, 1), (2, 3, 1)])
def test_filters_keep_the_response_to_grey_and_the_variance(tmp_path, bands, channels, colours):
    torch.manual_seed(0)
    source, target = network(channels=colours), network(channels=bands * channels)
    start = saved(tmp_path / "a.safetensors", source.state_dict())
    start.load(target, num_classes=5, bands=tuple(range(bands)), channels=channels)
    before, after = source.get_submodule("conv1"), target.get_submodule("conv1")
    grey = torch.randn(2000, bands, 1, 5, 5)
    with torch.no_grad():
        found = after(grey.expand(-1, -1, channels, -1, -1).flatten(1, 2))
        # By hand: what the old layer says of each band as a grey picture, added up.
        parts = [before(grey[:, band].expand(-1, colours, -1, -1)) for band in range(bands)]
    torch.testing.assert_close(found, sum(parts) / bands**0.5, rtol=1e-4, atol=1e-5)
    assert found.std().item() == pytest.approx(parts[0].std().item(), rel=0.05)


def test_colour_filters_are_repeated_as_they_are():
    filters = torch.randn(4, 3, 2, 2)
    found = adapt_filters(filters, bands=4, channels=3)
    assert torch.equal(found, torch.cat([filters / 2] * 4, dim=1))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state.pop("layer1.0.bn1.bias"), r"missing: layer1\.0\.bn1\.bias$"),
        (lambda state: state.update(extra=torch.zeros(2)), "unknown: extra$"),
        (lambda state: state.update({"conv1.weight": torch.zeros(32, 6, 3, 3)}), r"of another shape: conv1\.weight$"),
        (lambda state: state.update({"conv1.weight": torch.zeros(32, 3, 7, 7)}), r"of another shape: conv1\.weight$"),
        (lambda state: state.update({"fc.weight": torch.zeros(9, 64)}), r"of another shape: fc\.weight$"),
        (lambda state: state.update({"bn1.bias": torch.zeros(32, dtype=torch.int64)}), r"of another type: bn1\.bias$"),
    ],
)
def test_everything_else_that_differs_is_refused_by_name(tmp_path, change, message):
    state = network().state_dict()
    change(state)
    target = network()
    before = {name: value.clone() for name, value in target.state_dict().items()}
    with pytest.raises(IncompatibleError, match=message):
        saved(tmp_path / "a.safetensors", state).load(target, num_classes=5, bands=(0,), channels=3)
    assert all(torch.equal(value, before[name]) for name, value in target.state_dict().items())


def test_files_that_are_none(tmp_path):
    state = network().state_dict()
    state["conv1.weight"][0, 0, 0, 0] = float("nan")
    with pytest.raises(CorruptionError, match=r"not finite: conv1\.weight"):
        saved(tmp_path / "a.safetensors", state).load(network(), num_classes=5, bands=(0,), channels=3)
    (tmp_path / "b.safetensors").write_bytes(b"\x80\x04\x95 a pickle, not run")
    with pytest.raises(CorruptionError, match="is damaged"):
        StartFromFile(tmp_path / "b.safetensors", "").load(network(), num_classes=5, bands=(0,), channels=3)
    with pytest.raises(UsageError, match=r"initial_checkpoint is '.*c\.safetensors', which is no file"):
        find_initial(starting_from(tmp_path / "c.safetensors").network)
    assert find_initial(CONFIG.network) is None


def test_resuming_takes_the_same_content_wherever_it_lies_and_no_other(store_path, tmp_path):
    train_branch(CONFIG, store_path, tmp_path / "first", 1)
    content = (steps(tmp_path / "first")[0] / "model.safetensors").read_bytes()
    for name in ("a", "b"):
        (tmp_path / f"{name}.safetensors").write_bytes(content)
    state = read_checkpoint(steps(tmp_path / "first")[1]).model
    save_file(state, tmp_path / "other.safetensors")
    summary = train_branch(starting_from(tmp_path / "a.safetensors"), store_path, tmp_path / "whole", 1)
    assert summary["from_scratch"] is False
    assert summary["initial_checkpoint"] == {"name": "a.safetensors", "sha256": sha256_file(tmp_path / "a.safetensors")}
    folder = tmp_path / "parts"
    with pytest.raises(CrashError):
        train_branch(starting_from(tmp_path / "a.safetensors"), store_path, folder, 1, on_step=crash_at(5))
    for other in (starting_from(tmp_path / "other.safetensors"), CONFIG):
        with pytest.raises(
            IncompatibleError, match=r"was started from weights of SHA-256 .* would now be from (scratch|weights)"
        ):
            train_branch(other, store_path, folder, 1)
    (tmp_path / "a.safetensors").unlink()
    train_branch(starting_from(tmp_path / "b.safetensors"), store_path, folder, 1)
    assert outcome(folder)["tensors"] == outcome(tmp_path / "whole")["tensors"]
    assert outcome(folder)["tensors"] != outcome(tmp_path / "first")["tensors"]
