"""F6: one flipped bit anywhere in our files is found, and the file is named."""

import pytest
from tests.faults.flips import CLASSES, damage, flip_bits, intact_copy
from tests.faults.scale import share

pytestmark = pytest.mark.timeout(1800)
POSITIONS = share(1000, 12)


@pytest.mark.parametrize("name", CLASSES)
def test_every_flipped_bit_is_found_and_named(run_folder, small, tmp_path, figure, name):
    run = intact_copy(run_folder, small, tmp_path / "run", name)
    missed = flip_bits(run, name, POSITIONS, seed=5)
    assert not missed, f"{len(missed)} of {POSITIONS}: {missed[:10]}"
    figure("byte flips found and named", POSITIONS, POSITIONS, name)


@pytest.mark.parametrize("name", CLASSES)
def test_cut_lengthened_blanked_and_exchanged_files_are_found(run_folder, small, tmp_path, name):
    run = intact_copy(run_folder, small, tmp_path / "run", name)
    assert not damage(run, name)


@pytest.mark.parametrize("name", ["band files", "weights", "logits", "metrics"])
def test_without_checksums_bits_flip_silently(server, run_folder, small, tmp_path, control, name):
    run = intact_copy(run_folder, small, tmp_path / "run", name)
    arguments = {"run": run, "name": name, "count": 60, "seed": 6}
    assert server.run("flip", **arguments).code == 0
    missed = server.run("flip", broken="no_checksum", **arguments)
    assert missed.code == 3
    assert "not noticed" in missed.log
    control()
