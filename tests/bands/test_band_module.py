import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bandwise.bands.module import BandSplit
from bandwise.bands.quantize import BandQuantizer, integer_filters, offsets, scales
from bandwise.bands.transform import SubbandTransform


def as_batch(images):
    return torch.stack([torch.from_numpy(image.copy()).permute(2, 0, 1) for image in images])


def stored(transform, image, bands=None):
    """The bytes of `BandQuantizer`, channels band-major: (bands * C, h, w)."""
    split = BandQuantizer(transform, bands).split(image)
    return split.transpose(0, 3, 1, 2).reshape(-1, *split.shape[1:3])


def noise(*shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_the_convolution_and_the_kernel_give_equal_bytes(transform, hard_images):
    split = BandSplit(transform)
    for image in hard_images:
        values = split(as_batch([image]))
        assert values.dtype == torch.float32
        assert np.array_equal(values[0].numpy(), stored(transform, image))


def test_half_precision_storage_is_equal_to_the_bit(transform, hard_images):
    split = BandSplit(transform, storage="float16")
    for image in hard_images:
        expected = BandQuantizer(transform).split_float16(image).transpose(0, 3, 1, 2)
        values = split(as_batch([image]))[0].numpy()
        assert np.array_equal(values, expected.reshape(values.shape).astype(np.float32))


def test_factors_survive_where_a_device_shortens_them(transform):
    """TF32 keeps 11 bits of a factor and bfloat16 keeps 8; sums are float32. The whole filter is the control."""
    filters = BandSplit(transform).filters
    assert torch.equal(filters.bfloat16().float(), filters)
    pixels = torch.arange(256, dtype=torch.float32)
    assert torch.equal(pixels.bfloat16().float(), pixels)
    whole = filters.sum(dim=1)
    if transform.kind == "dct2d" and transform.stride in (3, 4, 5, 6, 7, 8):
        assert not torch.equal(whole.bfloat16().float(), whole)


def test_two_parts_of_a_filter_make_no_larger_partial_sums(transform):
    filters = BandSplit(transform).filters
    assert (filters.prod(dim=1) >= 0).all()
    assert np.array_equal(filters.sum(dim=1).numpy().reshape(-1, transform.count) * 2**16, integer_filters(transform))


def test_float_pixels_batches_and_some_bands():
    transform, images = SubbandTransform(4, "dct2d"), [noise(16, 24, 3, seed=seed) for seed in range(3)]
    split = BandSplit(transform, [5, 0])
    values = split(as_batch(images).float())
    assert values.shape == (3, 6, 4, 6)
    for image, value in zip(images, values.numpy(), strict=True):
        assert np.array_equal(value, stored(transform, image, [5, 0]))
    for order in (torch.channels_last, torch.contiguous_format):
        assert torch.equal(split(as_batch(images).contiguous(memory_format=order)), values)


def test_autocast_does_not_change_a_byte():
    transform, image = SubbandTransform(2, "dct1d"), noise(32, 32, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        values = BandSplit(transform)(as_batch([image]))
        shortened = torch.nn.functional.conv2d(torch.ones(1, 1, 2, 2), torch.ones(1, 1, 2, 2))
    assert shortened.dtype == torch.bfloat16
    assert np.array_equal(values[0].numpy(), stored(transform, image))


def test_unquantised_values_are_the_coefficients_in_stored_units(transform):
    image = noise(2 * transform.stride, 3 * transform.stride, 3)
    values = BandSplit(transform, quantized=False)(as_batch([image]))[0].numpy()
    exact = transform.forward(image.transpose(2, 0, 1)) / scales(transform)[:, None, None, None]
    exact += offsets(transform)[:, None, None, None]
    np.testing.assert_allclose(values, exact.reshape(values.shape), rtol=0, atol=1e-3)


def test_unquantised_values_have_gradients():
    split = BandSplit(SubbandTransform(2, "dct1d"), quantized=False).double()
    images = torch.rand(1, 2, 4, 4, dtype=torch.float32, requires_grad=True)
    split.float()(images)[0, 0].sum().backward()
    # Band 0 over the stride is the mean of four pixels.
    assert images.grad is not None
    torch.testing.assert_close(images.grad[0, 0], torch.full((4, 4), 0.25))
    assert not images.grad[0, 1].any()


def test_nothing_is_saved_that_follows_from_the_transform():
    assert BandSplit(SubbandTransform(4, "dct2d")).state_dict() == {}


def test_it_exports_for_any_batch_size():
    transform = SubbandTransform(2, "dct2d")
    images = [noise(8, 8, 3, seed=seed) for seed in range(5)]
    dynamic = {"images": {0: torch.export.Dim("batch")}}
    exported = torch.export.export(BandSplit(transform), (as_batch(images[:2]),), dynamic_shapes=dynamic)
    values = exported.module()(as_batch(images)).numpy()
    assert all(np.array_equal(value, stored(transform, image)) for value, image in zip(values, images, strict=True))


class CountBytes(TorchDispatchMode):
    """Adds up what every operator reads and writes of the images; views move nothing."""

    moved = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        given = [each for each in tree_leaves((args, kwargs)) if isinstance(each, torch.Tensor)]
        made = [each for each in tree_leaves(result) if isinstance(each, torch.Tensor)]
        memory = {each.untyped_storage().data_ptr() for each in given}
        in_place = func._schema.name.endswith("_")
        if in_place or not all(each.untyped_storage().data_ptr() in memory for each in made):
            self.moved += sum(each.nbytes for each in (*given, *made))
        return result


def moved_bytes(split, images):
    with torch.inference_mode(), CountBytes() as counter:
        split(images)
    return counter.moved


def test_the_float_transform_reads_once_and_writes_once(transform):
    images = torch.rand(4, 3, 24 * transform.stride, 24 * transform.stride)
    copied = 2 * images.nbytes
    moved = moved_bytes(BandSplit(transform, quantized=False), images)
    # Weights and offsets count too, and are small.
    assert moved <= 1.15 * copied
    if transform.stride > 1:
        assert moved >= copied


def test_with_stride_one_nothing_is_moved():
    split = BandSplit(SubbandTransform(1, "dct2d"), quantized=False)
    images = torch.rand(2, 3, 8, 8)
    for layout in (torch.contiguous_format, torch.channels_last):
        given = images.contiguous(memory_format=layout)
        assert split(given).data_ptr() == given.data_ptr()
        assert moved_bytes(split, given) == 0


def test_weights_are_laid_out_once(monkeypatch):
    split, other = (BandSplit(SubbandTransform(2, "dct2d"), channels=channels) for channels in (3, 1))
    image = noise(8, 8, 3)
    # For other colours than those it was made for, the same values.
    assert torch.equal(other(as_batch([image])), split(as_batch([image])))
    monkeypatch.setattr("bandwise.bands.module._over_colours", lambda *_: pytest.fail("laid out anew"))
    split(as_batch([image]))
    other(as_batch([image[:, :, :1]]))
