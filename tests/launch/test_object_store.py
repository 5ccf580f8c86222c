"""Stores and runs at a local S3 server: a branch fetches what it needs, and its work comes back."""

import json
import threading
from collections.abc import Iterator
from dataclasses import replace

import fsspec
import pytest
from tests.launch.conftest import CONFIG

from bandwise.checkpoints.folder import weights_digest
from bandwise.cli import main
from bandwise.errors import CorruptionError, UsageError
from bandwise.files.remote import Remote
from bandwise.runs.run import create_run
from bandwise.sources.folder import open_folder
from bandwise.store.reading.store import open_store
from bandwise.store.remote import fetch_store
from bandwise.store.writing.split import split_dataset

# Its web server leaves some sockets to the garbage collector.
pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    """The address of a local S3 server."""
    from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    serving = make_server("127.0.0.1", 0, DomainDispatcherApplication(create_backend_app), threaded=True)
    thread = threading.Thread(target=serving.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{serving.port}"
    serving.shutdown()
    thread.join()
    serving.server_close()


@pytest.fixture
def bucket(server, tmp_path, monkeypatch) -> str:
    """The address of an empty bucket, with credentials for it in the environment, and an empty home."""
    for name, value in {
        "AWS_ENDPOINT_URL": server,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "BANDWISE_HOME": str(tmp_path / "home"),
    }.items():
        monkeypatch.setenv(name, value)
    fsspec.filesystem("s3").clear_instance_cache()
    name = tmp_path.name.replace("_", "-")
    fsspec.filesystem("s3").mkdir(name)
    return f"s3://{name}"


@pytest.fixture(scope="module")
def store(tmp_path_factory, pictures):
    path = tmp_path_factory.mktemp("away") / "store"
    split_dataset(open_folder(pictures), CONFIG.split, path)
    return path


@pytest.fixture
def address(bucket, store) -> str:
    """The address of the store."""
    assert main(["push", str(store), f"{bucket}/store"]) == 0
    return f"{bucket}/store"


def test_a_branch_fetches_its_band_and_the_documents_only(address, store, tmp_path, capsys, finished):
    run = create_run(tmp_path / "run", CONFIG)
    capsys.readouterr()
    assert main(["train", "--out", str(run.path), "--store", address, "--branch", "1"]) == 0
    said = capsys.readouterr().err
    (folder,) = (tmp_path / "home" / "stores").iterdir()
    here = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    there = {path.relative_to(store).as_posix() for path in store.rglob("*") if path.is_file()}
    assert here == {name for name in there if not name.startswith(("band-00", "band-01", "band-02"))}
    fetched = sum((folder / name).stat().st_size for name in here - {"MANIFEST.json", "README.md"})
    assert f"{address}: {fetched} bytes fetched for bands 3, in {folder}" in said
    assert weights_digest(run.branch_folder(1)) == weights_digest(finished / "branch-01")
    assert main(["verify", str(folder), "--bands", "3", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bands"] == [3]
    assert main(["verify", str(folder)]) == CorruptionError.exit_code
    # The other branch of this machine fetches what is not there yet.
    assert main(["train", "--out", str(run.path), "--store", address, "--branch", "0"]) == 0
    assert open_store(folder, (0, 3)).bands == (0, 3)


def test_a_flipped_object_is_damage(address, tmp_path, capsys):
    system, name = fsspec.filesystem("s3"), f"{address}/band-03/train-00000-of-00001.parquet"
    content = bytearray(system.cat_file(name))
    content[len(content) // 2] ^= 1
    system.pipe_file(name, bytes(content))
    run = create_run(tmp_path / "run", CONFIG)
    assert main(["train", "--out", str(run.path), "--store", address, "--branch", "1"]) == CorruptionError.exit_code
    assert "band-03/train-00000-of-00001.parquet is not the file that was written" in capsys.readouterr().err


@pytest.mark.parametrize("flipped", [0, 1])
def test_a_transfer_that_was_broken_off_goes_on(address, store, tmp_path, flipped):
    """What has come is not fetched again, so that a byte which it has wrong is damage."""
    home, name = tmp_path / "stores", "train-00000-of-00001.parquet"
    half = bytearray((store / "band-03" / name).read_bytes())
    del half[len(half) // 2 :]
    half[-1] ^= flipped
    folder = fetch_store(address, (), home)
    (folder / "band-03").mkdir()
    (folder / "band-03" / f".part-{name}").write_bytes(half)
    if flipped:
        with pytest.raises(CorruptionError, match=f"band-03/{name} is not the file that was written"):
            fetch_store(address, (3,), home)
    else:
        assert fetch_store(address, (3,), home) == folder
        assert (folder / "band-03" / name).read_bytes() == (store / "band-03" / name).read_bytes()


def test_the_store_is_fetched_once_whatever_its_address(address, bucket, store, tmp_path):
    assert main(["push", str(store), f"{bucket}/copy"]) == 0
    home = tmp_path / "stores"
    assert fetch_store(address, (3,), home) == fetch_store(f"{bucket}/copy", (3,), home)
    with pytest.raises(UsageError, match="holds the bands 0-3; 4 are missing"):
        fetch_store(address, (4,), home)


def test_what_a_machine_pushes_another_continues_and_a_third_collects(address, bucket, tmp_path, finished, capsys):
    away = f"{bucket}/run"
    short = replace(CONFIG, training=replace(CONFIG.training, checkpoint_steps=2))
    run = create_run(tmp_path / "one" / "run", short)
    for branch in ("0", "1"):
        assert main(["train", "--out", str(run.path), "--store", address, "--branch", branch, "--push", away]) == 0
    sizes = Remote(away).sizes()
    assert {"run.json", "branch-00/summary.json", "logits/val/branch-01.safetensors"} <= set(sizes)
    # A machine that has nothing of it finds branch 0 finished.
    capsys.readouterr()
    other = create_run(tmp_path / "two" / "run", short)
    assert main(["train", "--out", str(other.path), "--store", address, "--branch", "0", "--push", away]) == 0
    assert f"{away}: going on from branch-00/step-" in capsys.readouterr().err
    into = tmp_path / "together"
    assert main(["collect", away, "--into", str(into), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["brought"] == {"0": away, "1": away}
    assert main(["fuse", str(into)]) == 0
    assert (into / "fusion.json").read_bytes() == (finished / "fusion.json").read_bytes()
    # All have answered, so of the store only its documents are fetched.
    assert main(["evaluate", str(into), "--store", address]) == 0


def test_no_run_and_no_address_are_said(bucket, tmp_path, capsys):
    assert main(["collect", f"{bucket}/nothing", "--into", str(tmp_path / "x")]) == UsageError.exit_code
    assert "is no run (it has no run.json)" in capsys.readouterr().err
    assert main(["push", str(tmp_path), f"{bucket}/x"]) == UsageError.exit_code
    assert "neither a run nor a finished store" in capsys.readouterr().err
    assert main(["push", str(tmp_path), "somewhere"]) == UsageError.exit_code
    assert "is no address" in capsys.readouterr().err
