"""One finished run of two branches, whose reported set has one picture that cannot be read."""

from pathlib import Path

import pytest
from tests.bad_inputs.bench import Bench
from tests.bad_inputs.trained import FLAGS, Trained
from tests.pictures import make_folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory) -> Trained:
    """Return the folder of it all; copy before changing anything."""
    root: Path = tmp_path_factory.mktemp("trained")
    make_folder(root / "pictures", classes=3, train=12, val=3, side=16)
    (root / "pictures" / "val" / "class-1" / "001.png").write_bytes(b"no picture")
    (root / "tiny.yaml").write_text(f"data: {{data: {root / 'pictures'}}}\nbranches: 0;3\n", encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        bench = Bench(root, patch)
        bench.call(*bench.split("--holdout", "0.2", "--canvas", "16"))
        assert bench.code == 0, bench.err
        for argv in (
            ["train", root / "tiny.yaml", "--out", root / "run", "--store", root / "store", *FLAGS],
            ["fuse", root / "run"],
            ["evaluate", root / "run", "--max-bad", "1"],
        ):
            assert bench.call(*argv).code == 0, bench.err
    return Trained(root)
