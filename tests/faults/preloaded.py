"""What the process that all children are forked from imports, loads and compiles, so that no child has to."""

import os
import tempfile
import warnings
from pathlib import Path

warnings.simplefilter("error")
# A pool that a library has started does not live on in the child, and none of them waits for one.
warnings.filterwarnings("ignore", message=".*multi-threaded, use of fork", category=DeprecationWarning)

from tests.faults import jobs, material  # noqa: E402

assert jobs

with tempfile.TemporaryDirectory() as _folder:
    material.split_small(Path(_folder) / "store")
    material.make_run(Path(_folder))

# A kill leaves what the kernel holds alone, so waiting for the disk would only take time. What is lost in a power cut
# is the subject of `powerloss`.
os.fsync = lambda descriptor: None  # type: ignore[assignment]
