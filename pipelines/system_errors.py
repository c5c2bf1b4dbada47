"""Errors of the machine that say nothing about the clip at hand."""

import errno

_OUT_OF_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE}


def is_out_of_room(error: BaseException) -> bool:
    """Whether a disk, a quota or the table of open files is full: every clip would fail."""
    return isinstance(error, OSError) and error.errno in _OUT_OF_ROOM
