"""Models and stores on a hub: pushed, listed, fetched elsewhere, with the same answers."""

import json
import os
import re
import shutil
from dataclasses import replace

import pytest
import torch
import yaml
from tests.export.conftest import CONFIG
from tests.helpers.commands import call
from tests.helpers.hub import fake_hub, oid
from tests.helpers.trees import tree

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.config import DataConfig
from bandwise.errors import UsageError
from bandwise.runs.run import create_run
from bandwise.serving.ensemble import SpectralEnsemble
from bandwise.store.layout import MANIFEST_NAME

# Of the hub's library, about how it calls the library below it.
pytestmark = pytest.mark.filterwarnings("ignore:Use 'content=:DeprecationWarning")

IMAGES = torch.randint(0, 256, (3, 3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def hub(monkeypatch, tmp_path):
    monkeypatch.setenv("BANDWISE_HOME", str(tmp_path / "home"))
    with fake_hub(monkeypatch, tmp_path / "cache") as running:
        yield running


def card_of(text: str) -> tuple[dict, str, list[str]]:
    """Return the fields of a card, which hold nothing empty, its text, and the titles of its parts."""
    head, body = text.removeprefix("---\n").split("---\n", 1)
    fields = yaml.safe_load(head)

    def leaves(node):
        inner = node.values() if isinstance(node, dict) else node if isinstance(node, list) else None
        return [node] if not inner else [leaf for each in inner for leaf in leaves(each)]

    assert not [leaf for leaf in leaves(fields) if leaf in (None, "", [], {})]
    parts = re.split(r"^## (.+)\n", body, flags=re.MULTILINE)
    assert all(part.strip() for part in parts)
    return fields, body, parts[1::2]


def test_a_run_is_pushed_and_answers_alike_where_it_is_fetched(finished, pictures, hub, tmp_path, capsys, monkeypatch):
    said = call(capsys, "push", finished, "hf:me/small", "--controls", finished, "--license", "mit", "--private")
    assert said["commit"] == f"{hub.address}/models/me/small/commit/{oid(1)}"
    assert hub.private == {"models/me/small"}
    files = hub.files("models/me/small")
    assert set(said["files"]) == set(files)
    assert {"README.md", "bandwise.json", "model.safetensors", "fusion.json", "controls/small.json"} <= set(files)
    assert said["bytes"] == sum(map(len, files.values()))
    fields, text, _ = card_of(files["README.md"].decode())
    assert fields["license"] == "mit"
    assert "10.1109/TNNLS.2024.3394861" in text

    monkeypatch.chdir(tmp_path)
    theirs, ours = SpectralEnsemble.from_pretrained("hf:me/small"), SpectralEnsemble.from_pretrained(finished)
    assert torch.equal(theirs(IMAGES), ours(IMAGES))
    folder = pictures / "val"
    assert call(capsys, "predict", "hf:me/small", folder) == call(capsys, "predict", finished, folder)
    # What the card shows is what runs.
    shutil.copy(next((pictures / "val" / "class-2").iterdir()), "picture.jpg")
    code = "\n".join(line[4:] for line in text.splitlines() if line.startswith("    "))
    assert "from_pretrained('hf:me/small')" in code
    exec(compile(code, "card", "exec"), {})
    assert re.fullmatch(r"picture\.jpg class-\d 0\.\d+\n", capsys.readouterr().out)


def test_what_is_there_is_not_sent_again_and_what_is_stale_goes(finished, bundle, hub, capsys):
    call(capsys, "push", finished, "hf:me/small", "--controls", finished)
    hub.repositories["models/me/small"][-1]["notes.txt"] = b"of the owner"
    uploads = hub.uploads
    # The released model has no controls; its card was edited.
    card = bundle / "README.md"
    card.write_text(card.read_text() + "\nMine.\n")
    call(capsys, "push", bundle, "hf:me/small")
    files = hub.files("models/me/small")
    assert hub.uploads == uploads > 0
    assert set(files) == {*tree(bundle), "notes.txt"}
    assert files["README.md"].decode() == card.read_text().replace("'.'", "'hf:me/small'")
    assert files["model.safetensors"] == (bundle / "model.safetensors").read_bytes()
    first = SpectralEnsemble.from_pretrained(f"hf:me/small@{oid(1)}")
    assert torch.equal(first(IMAGES), SpectralEnsemble.from_pretrained("hf:me/small")(IMAGES))


def test_an_upload_that_fails_leaves_no_model(finished, hub, capsys):
    hub.broken = True
    error = call(capsys, "push", finished, "hf:me/small", code=2)["error"]["message"]
    assert "hf:me/small cannot be published" in error
    assert hub.files("models/me/small") == {}
    hub.broken = False
    call(capsys, "push", finished, "hf:me/small")
    assert "bandwise.json" in hub.files("models/me/small")


def test_who_may_not_write_is_told_to_log_in(finished, hub, monkeypatch, capsys):
    monkeypatch.setenv("HF_TOKEN", "hf_of_nobody")
    error = call(capsys, "push", finished, "hf:me/small", code=2)["error"]["message"]
    assert "log in with `hf auth login`, or set HF_TOKEN" in error
    assert not hub.repositories


def test_a_store_is_pushed_and_trained_from(finished, pictures, hub, tmp_path, capsys):
    store = finished / "store"
    said = call(capsys, "push", store, "hf:me/bands", "--license", "cc-by-4.0")
    files = hub.files("datasets/me/bands")
    assert set(said["files"]) == set(files) == set(tree(store))
    manifest = json.loads(files[MANIFEST_NAME])
    fields, text, titles = card_of(files["README.md"].decode())
    assert fields["license"] == "cc-by-4.0"
    assert fields["size_categories"] == ["n<1K"]
    assert [config["config_name"] for config in fields["configs"]] == [f"band-0{band}" for band in range(4)]
    assert titles == ["Bands", "Images", "Use", "Labels", "Preprocessing", "Limits"]
    rows = sum(facts["rows"] for facts in manifest["splits"].values())
    assert f"{rows} images of 3 classes" in text
    assert "licence cc-by-4.0" in text
    assert {name: own for name, own in files.items() if name != "README.md"} == {
        name: (store / name).read_bytes() for name in tree(store) if name != "README.md"
    }
    run = create_run(tmp_path / "run", replace(CONFIG, data=DataConfig(data=str(pictures))))
    place = "hf://datasets/me/bands"
    call(capsys, "train", "--out", run.path, "--store", place, "--branch", "2")
    assert weights_digest(run.branch_folder(2)) == weights_digest(finished / "branch-02")
    # The card of the fetched store is its own, though the published one says more.
    (fetched,) = (tmp_path / "home" / "stores").iterdir()
    assert (fetched / "README.md").read_bytes() == (store / "README.md").read_bytes() != files["README.md"]
    assert call(capsys, "verify", fetched, "--bands", "2")["bands"] == [2]


def test_a_plain_folder_has_what_would_be_sent(finished, hub, tmp_path, capsys):
    for folder, kind in ((finished, "models"), (finished / "store", "datasets")):
        out = tmp_path / kind
        call(capsys, "push", folder, "hf:me/x", "--out", out)
        assert not hub.repositories.get(f"{kind}/me/x")
        call(capsys, "push", folder, "hf:me/x")
        assert {name: (out / name).read_bytes() for name in tree(out)} == hub.files(f"{kind}/me/x")
    assert torch.equal(
        SpectralEnsemble.from_pretrained(tmp_path / "models")(IMAGES),
        SpectralEnsemble.from_pretrained(finished)(IMAGES),
    )


def test_wrong_words_are_said(finished, bundle, tmp_path, capsys):
    def refused(*argv: object) -> str:
        return call(capsys, "push", *argv, code=UsageError.exit_code)["error"]["message"]

    assert "is no name on a hub" in refused(finished, "hf:me")
    assert "leave @ out" in refused(finished, "hf:me/x@main")
    assert "neither a run nor a finished store" in refused(tmp_path, "hf:me/x")
    assert "neither a run nor a finished store" in refused(bundle, f"file://{tmp_path}/x")
    assert "are for hf:OWNER/NAME" in refused(finished, f"file://{tmp_path}/x", "--license", "mit")
    assert "has its card already" in refused(bundle, "hf:me/x", "--license", "mit")
    assert "offline mode is enabled" in refused(finished, "hf:me/x")
    assert main(["push", os.fspath(finished), "nowhere"]) == UsageError.exit_code
    assert "or hf:OWNER/NAME" in capsys.readouterr().err
