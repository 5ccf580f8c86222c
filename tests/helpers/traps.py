"""Pictures that bring down, or hold up, the decoder that meets them."""

import dataclasses
import os
import signal
import time
from pathlib import Path

import numpy as np
from tests.helpers.arrays import RandomSource


class Trap(bytes):
    """Bytes that do something when the decoder first looks at how they begin."""

    what: str
    flag: Path | None

    def startswith(self, *_) -> bool:
        if self.flag is not None and self.flag.exists():
            return False
        if self.flag is not None:
            self.flag.touch()
        if self.what == "segfault":
            os.kill(os.getpid(), signal.SIGSEGV)
        elif self.what == "abort":
            os.abort()
        elif self.what == "exit":
            os._exit(9)
        elif self.what == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self.what == "memory":
            raise MemoryError
        else:
            assert self.what == "hang"
            time.sleep(3600)
        return False


def trap(content: bytes, what: str, flag: Path | None = None) -> Trap:
    """Return a trap; with a flag, a file, it closes only the first time."""
    made = Trap(content)
    made.what, made.flag = what, flag
    return made


@dataclasses.dataclass(frozen=True)
class TrapSource(RandomSource):
    """Random pictures, of which some are traps."""

    traps: tuple[bytes, ...] = ()
    what: str = "segfault"
    flag: Path | None = None

    def read(self, path: bytes) -> bytes | np.ndarray:
        content = super().read(path)
        if path not in self.traps or (self.flag is not None and self.flag.exists()):
            return content
        return trap(bytes(self.channels * self.side**2), self.what, self.flag)
