"""The keyed random numbers: the published generator, uniform, and no stream like another."""

import itertools

import numpy as np
import pytest

from bandwise.augment.draws import Purpose, hashes, uniform

MASK = (1 << 64) - 1


def splitmix64(state: int) -> tuple[int, int]:
    """The published generator with Python integers: the next state, and its output."""
    state = (state + 0x9E3779B97F4A7C15) & MASK
    z = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
    return state, z ^ (z >> 31)


def test_splitmix64_of_this_file_gives_the_published_numbers() -> None:
    state, found = 1234567, []
    for _ in range(5):
        state, value = splitmix64(state)
        found.append(value)
    assert found == [
        6457827717110365317,
        3203168211198807973,
        9817491932198370423,
        4593380528125082431,
        16408922859458223821,
    ]


@pytest.mark.parametrize(("seed", "epoch"), [(0, 0), (7, 3), (MASK, 10**6)])
def test_hashes_are_a_splitmix64_stream(seed: int, epoch: int) -> None:
    stream = 0
    for part in (seed, epoch, int(Purpose.CROP_TOP)):
        stream = splitmix64(stream ^ part)[1]
    expected = []
    for _ in range(100):
        stream, value = splitmix64(stream)
        expected.append(value)
    assert hashes(seed, epoch, Purpose.CROP_TOP, np.arange(100)).tolist() == expected


def test_draws_are_uniform_and_streams_are_not_alike() -> None:
    ids = np.arange(20_000)
    streams = {
        key: uniform(*key, ids)
        for key in itertools.product((0, 1), (0, 1), (Purpose.CROP_TOP, Purpose.CROP_LEFT, Purpose.FLIP_HORIZONTAL))
    }
    for values in streams.values():
        assert 0 <= values.min() < values.max() < 1
        counts = np.histogram(values, 16, (0, 1))[0]
        chi_square = ((counts - 1250) ** 2 / 1250).sum()
        assert chi_square < 45, "15 degrees of freedom: more than 45 happens once in 10,000"
    for one, other in itertools.combinations(streams.values(), 2):
        assert abs(np.corrcoef(one, other)[0, 1]) < 0.04


def test_purposes_have_different_numbers() -> None:
    assert len({int(purpose) for purpose in Purpose}) == len(Purpose.__members__)
