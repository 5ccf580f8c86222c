"""Values reach a device without a wait; on a machine without one, only that nothing is copied for nothing."""

import pytest
import torch

from bandwise.augment.standardise import to_device


def test_on_a_cpu_values_stay_where_they_are():
    values = torch.arange(6)
    assert to_device(values, torch.device("cpu")) is values


def test_for_an_accelerator_the_copy_is_queued_from_pinned_memory():
    """A stand-in writes down how it is moved."""

    class Pinned:
        is_cuda = False

        def __init__(self, pinned=False):
            self.pinned = pinned

        def pin_memory(self):
            return Pinned(True)

        def to(self, device, non_blocking=False):
            return self.pinned, device.type, non_blocking

    assert to_device(Pinned(), torch.device("cuda")) == (True, "cuda", True)  # type: ignore[reportArgumentType]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no accelerator here")
def test_the_values_arrive_and_their_source_may_change_at_once():
    values = torch.arange(1000)
    moved = to_device(values, torch.device("cuda"))
    values.zero_()
    assert torch.equal(moved.cpu(), torch.arange(1000))
    assert to_device(moved, moved.device) is moved
