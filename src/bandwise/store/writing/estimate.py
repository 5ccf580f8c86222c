"""How many bytes a store will take, before it is written."""

from bandwise.config import SplitConfig

# Measured on photographs (store.md of the design): bytes over raw bytes, mean of all bands, by stride, rounded up.
_ZSTD_SHARE = {1: 1.0, 2: 0.60, 3: 0.50, 4: 0.42, 5: 0.36, 6: 0.30}
_WEBP_SHARE = {1: 0.60, 2: 0.42, 3: 0.36, 4: 0.31, 5: 0.27, 6: 0.23}
_FLAT_KINDS = ("identity", "random")


def estimate_bytes(config: SplitConfig, bands: int, channels: int, images: int) -> int:
    """Return about how many bytes `bands` bands of `images` images take on disk.

    The shares hold for photographs and transforms that gather the energy; `identity` and `random` bands are all as
    large as small pictures. float16 values hardly compress.
    """
    pixels = images * bands * channels * (config.canvas // config.stride) ** 2
    if config.storage == "float16":
        return 2 * pixels
    shares = _WEBP_SHARE if config.codec == "webp" else _ZSTD_SHARE
    stride = 1 if config.transform in _FLAT_KINDS else min(config.stride, max(shares))
    return int(pixels * shares[stride])
