"""The errors that a user can meet, each with the exit code that the command line returns for it.

A message says what was given, what is allowed and what to do. Broken invariants of our own are `assert`s, not these.
"""


class BandwiseError(Exception):
    """Base of every error that the command line reports without a traceback."""

    exit_code = 1


class UsageError(BandwiseError, ValueError):
    """The command, the configuration or the input folder cannot be used as given."""

    exit_code = 2


class TooManyBadInputs(BandwiseError):
    """More inputs were unreadable than `--max-bad` allows; what was finished is kept and the run can resume."""

    exit_code = 3


class CorruptionError(BandwiseError):
    """A file that we wrote is missing, short, altered or not complete."""

    exit_code = 4


class LockedError(BandwiseError):
    """Another process is writing to the same folder."""

    exit_code = 5


class NoSpaceError(BandwiseError):
    """The disk, the quota or the inode table is full; everything committed before is intact."""

    exit_code = 6


class IncompatibleError(BandwiseError):
    """The folder was made by another configuration, sample list or version than the one asked for now."""

    exit_code = 7


class Preempted(BandwiseError):
    """A signal asked us to stop; the state is saved and the same command continues from it."""

    exit_code = 75
