import json
import os
import re
import shutil

import pytest
import torch
import yaml
from tests.helpers.commands import call
from tests.helpers.trees import temporaries, tree

from bandwise.cli import main
from bandwise.errors import CorruptionError, IncompatibleError, NoSpaceError, UsageError
from bandwise.export.bundle import write_bundle
from bandwise.files import atomic
from bandwise.files.documents import json_bytes, seal, without_seal
from bandwise.files.hub import parse_name
from bandwise.files.regular import sha256_file
from bandwise.launch.evaluate import evaluate_run
from bandwise.launch.fuse import fuse_run
from bandwise.runs.run import open_run
from bandwise.serving import release
from bandwise.serving.ensemble import SpectralEnsemble

IMAGES = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


def describe_anew(folder, **changes):
    """Change the description of a model, with a seal that fits: only what it says can then be found wrong."""
    path = folder / release.RELEASE_NAME
    path.write_bytes(json_bytes(seal(without_seal(json.loads(path.read_bytes())) | changes)))


def refusal(folder):
    with pytest.raises(CorruptionError) as caught:
        SpectralEnsemble.from_pretrained(folder)
    return str(caught.value)


def test_it_answers_with_the_bits_of_the_run(finished, bundle):
    ours, theirs = SpectralEnsemble.from_pretrained(bundle), SpectralEnsemble.from_pretrained(str(finished))
    assert torch.equal(ours.branch_logits(IMAGES), theirs.branch_logits(IMAGES))
    assert torch.equal(ours(IMAGES), theirs(IMAGES))
    assert (ours.classes, ours.canvas, ours.crop) == (theirs.classes, theirs.canvas, theirs.crop)
    assert ours.fusion == theirs.fusion


def test_it_has_a_tenth_of_the_run_and_nothing_of_this_machine(finished, bundle, tmp_path):
    content = b"".join(path.read_bytes() for path in bundle.rglob("*") if path.is_file())
    assert str(tmp_path.parent).encode() not in content
    assert b"optim" not in content
    assert sorted(tree(bundle)) == ["README.md", "bandwise.json", "fusion.json", "model.safetensors", "results.json"]
    again = write_bundle(open_run(finished), tmp_path / "again").path
    assert tree(again) == tree(bundle)


def test_predict_takes_it_and_goes_on_with_its_own_rows_only(finished, bundle, pictures, tmp_path, capsys):
    folder = pictures / "val" / "class-1"
    assert call(capsys, "predict", bundle, folder) == call(capsys, "predict", finished, folder)
    table = tmp_path / "rows.csv"
    call(capsys, "predict", bundle, folder, "--csv", table)
    of_bundle = table.read_bytes()
    call(capsys, "predict", finished, folder, "--csv", table)
    assert table.read_bytes() == of_bundle
    error = call(capsys, "predict", bundle, folder, "--cascade", "0.9", code=2)["error"]["message"]
    assert "holdout logits of a run" in error


def test_a_head_is_released_with_its_weights(finished, tmp_path):
    run = open_run(shutil.copytree(finished, tmp_path / "run"))
    fuse_run(run, rule="head")
    evaluate_run(run)
    bundle = write_bundle(run, tmp_path / "model").path
    assert torch.equal(SpectralEnsemble.from_pretrained(bundle)(IMAGES), SpectralEnsemble.from_run(run.path)(IMAGES))
    (bundle / "head.safetensors").unlink()
    assert "head.safetensors is missing" in refusal(bundle)
    files = json.loads((bundle / "bandwise.json").read_text())["files"]
    describe_anew(bundle, files={name: facts for name, facts in files.items() if name != "head.safetensors"})
    assert "head.safetensors" in refusal(bundle)


@pytest.mark.parametrize("name", ["bandwise.json", "fusion.json", "model.safetensors", "results.json"])
def test_a_flipped_bit_or_a_missing_file_is_named(bundle, name):
    path = bundle / name
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)
    assert str(path) in refusal(bundle)
    if name != "bandwise.json":
        path.unlink()
        assert f"{path} is missing" in refusal(bundle)


def test_the_hashes_are_what_finds_it(bundle, monkeypatch):
    """Negative control: without them a flipped weight is loaded."""
    path = bundle / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    monkeypatch.setattr(release, "read_listed", lambda file, facts, record: file.read_bytes())
    SpectralEnsemble.from_pretrained(bundle)


def test_the_card_may_be_edited(bundle):
    (bundle / "README.md").write_text("mine")
    SpectralEnsemble.from_pretrained(bundle)


def test_a_cache_of_a_hub_is_links_into_itself(bundle, tmp_path):
    cache = tmp_path / "cache" / "models--a--b"
    snapshot = cache / "snapshots" / "0123"
    snapshot.mkdir(parents=True)
    (cache / "blobs").mkdir()
    for path in (path for path in bundle.rglob("*") if path.is_file()):
        digest = sha256_file(path)
        shutil.copy(path, cache / "blobs" / digest)
        (snapshot / path.name).symlink_to(f"../../blobs/{digest}")
    SpectralEnsemble.from_pretrained(snapshot)
    weights = snapshot / "model.safetensors"
    weights.unlink()
    weights.symlink_to(bundle / "model.safetensors")
    assert f"{weights} is a link that leaves {cache}" in refusal(snapshot)
    weights.unlink()
    weights.symlink_to(weights)
    assert str(weights) in refusal(snapshot)


def test_outside_a_cache_a_link_may_not_leave_the_folder(bundle, tmp_path):
    shutil.move(bundle / "fusion.json", tmp_path / "fusion.json")
    (bundle / "fusion.json").symlink_to(tmp_path / "fusion.json")
    assert "is a link that leaves" in refusal(bundle)


def test_what_a_description_may_say(bundle):
    described = json.loads((bundle / "bandwise.json").read_text())
    files = described["files"]
    for name in ("../results.json", "/etc/passwd", "a/b/c.json", "controls/..", ".hidden"):
        describe_anew(bundle, files={**files, name: files["results.json"]})
        assert "is no name of a file in a model" in refusal(bundle)
    describe_anew(bundle, files=files, classes=["a", "b"])
    with pytest.raises(IncompatibleError, match="of another shape"):
        SpectralEnsemble.from_pretrained(bundle)
    describe_anew(bundle, classes=described["classes"], branches=described["branches"][:2])
    assert "has other branches than" in refusal(bundle)
    describe_anew(bundle, branches=described["branches"], split={**described["split"], "stride": 99})
    assert "does not describe a model" in refusal(bundle)
    describe_anew(bundle, split=described["split"], version=2)
    with pytest.raises(IncompatibleError, match="version 2"):
        SpectralEnsemble.from_pretrained(bundle)


@pytest.mark.parametrize("step", ["fsync_file", "fsync_folder"])
def test_a_full_disk_leaves_nothing(finished, tmp_path, monkeypatch, step):
    def fail(path):
        raise OSError(28, os.strerror(28), str(path))

    monkeypatch.setattr(atomic, step, fail)
    with pytest.raises(NoSpaceError):
        write_bundle(open_run(finished), tmp_path / "model")
    assert not (tmp_path / "model").exists()
    assert temporaries(tmp_path) == []


def test_a_kill_leaves_nothing_that_is_a_model(finished, tmp_path, monkeypatch):
    """What has been written before the rename is under another name, and lacks its description until the end."""

    class Killed(BaseException):
        pass

    written = []

    def commit(folder, write):
        def stop(path):
            written.append(path.name)
            if path.name == "bandwise.json":
                raise Killed

        folder.mkdir()
        monkeypatch.setattr(type(folder), "write_bytes", lambda path, content: stop(path))
        write(folder)

    monkeypatch.setattr(atomic, "commit_folder", commit)
    with pytest.raises(Killed):
        write_bundle(open_run(finished), tmp_path / "model")
    assert written[-1] == "bandwise.json"
    assert not release.is_release(tmp_path / "model")


def test_nothing_is_overwritten(finished, bundle, tmp_path):
    before = tree(bundle)
    with pytest.raises(UsageError, match="exists; remove it"):
        write_bundle(open_run(finished), bundle)
    assert tree(bundle) == before
    (tmp_path / "empty").mkdir()
    assert tree(write_bundle(open_run(finished), tmp_path / "empty").path) == before


def test_the_card_is_whole_and_its_example_runs(finished, pictures, tmp_path, capsys, monkeypatch):
    model = tmp_path / "model"
    found = call(capsys, "export", finished, "--controls", finished, "--license", "mit", "-o", model)
    assert "controls/small.json" in found["files"]
    assert found["bytes"] == sum(path.stat().st_size for path in model.rglob("*") if path.is_file())
    SpectralEnsemble.from_pretrained(model)
    head, text = (model / "README.md").read_text().removeprefix("---\n").split("---\n", 1)
    fields = yaml.safe_load(head)
    assert fields["license"] == "mit"
    metrics = fields["model-index"][0]["results"][0]["metrics"]
    assert [entry["type"] for entry in metrics] == ["accuracy", "top-5 accuracy", "nll", "ece"]
    results = json.loads((model / "results.json").read_text())
    assert metrics[0]["value"] == pytest.approx(results["fused"]["top1"], abs=1e-6)
    assert results["config"]["data"]["data"] == "pictures"

    def values(node):
        return [leaf for each in node for leaf in values(each)] if isinstance(node, list) else [node]

    flat = values([list(entry.values()) for entry in metrics] + list(fields.values()))
    assert not [value for value in flat if value in (None, "", [])]
    titles = re.findall(r"^## (.+)$", text, re.MULTILINE)
    assert titles == ["Results", "Cost", "Data", "Use", "Labels", "Preprocessing", "Limits"]
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    monkeypatch.chdir(model)
    shutil.copy(next((pictures / "val" / "class-2").iterdir()), "picture.jpg")
    exec(compile(code, "card", "exec"), {})
    assert re.fullmatch(r"picture\.jpg class-\d 0\.\d+\n", capsys.readouterr().out)


def test_what_cannot_be_released_is_said(finished, tmp_path, capsys):
    assert main(["export", str(finished)]) == 2
    assert "--out is missing" in capsys.readouterr().err
    assert main(["export", str(tmp_path), "-o", str(tmp_path / "model")]) == 2
    assert "is no run" in capsys.readouterr().err
    run = open_run(shutil.copytree(finished, tmp_path / "run"))
    run.results_path().unlink()
    with pytest.raises(UsageError, match="has no results to compare with"):
        write_bundle(open_run(finished), tmp_path / "model", [run.path])
    text = (write_bundle(run, tmp_path / "model").path / "README.md").read_text()
    assert "was not scored" in text
    assert "model-index" not in text


def test_names_on_a_hub():
    assert parse_name("hf:a/b-1.c") == ("a/b-1.c", None)
    assert parse_name("hf:a/b@refs/pr/1") == ("a/b", "refs/pr/1")
    for wrong in ("hf:a", "hf:a/b/c", "hf:", "hf:a/b@", "hf:/b"):
        with pytest.raises(UsageError, match="is no name on a hub"):
            parse_name(wrong)
    # Tests have no network, and say so to the library.
    with pytest.raises(UsageError, match="hf:nobody/nothing cannot be fetched"):
        SpectralEnsemble.from_pretrained("hf:nobody/nothing")
