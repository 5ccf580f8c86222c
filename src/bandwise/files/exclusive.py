"""A document that is written only where there is none yet, however many processes try at the same moment."""

import errno
import os
from pathlib import Path
from typing import Any

from bandwise.files.atomic import explain_full_disk, fsync_file, fsync_folder, json_bytes, temporary_path
from bandwise.files.documents import seal

_NO_LINKS = {errno.EPERM, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EMLINK}


def create_document(path: Path, content: dict[str, Any]) -> bool:
    """Write a sealed document whole, for `sealing.read_document`, unless there is a file of that name.

    A rename would put it in the place of the one that another process has just written; a link is refused then. Where
    the file system has no links, only what stands there before the rename is seen.

    Returns:
        Whether it was written; False where a file was there, which stays as it is.

    Raises:
        NoSpaceError: the disk is full.
    """
    temporary = temporary_path(path)
    with explain_full_disk(path):
        try:
            with open(temporary, "xb") as stream:
                stream.write(json_bytes(seal(content)))
            fsync_file(temporary)
            try:
                os.link(temporary, path)
            except FileExistsError:
                return False
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                if path.exists():
                    return False
                temporary.rename(path)
            fsync_folder(path.parent)
        finally:
            temporary.unlink(missing_ok=True)
    return True
