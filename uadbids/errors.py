"""Errors that a user can act on: each message says what is wrong, where, and what to do."""


class UadbidsError(Exception):
    """Base of every error that uadbids raises on purpose."""


class UsageError(UadbidsError):
    """The command line or the dataset cannot be used as given (exit status 2)."""


class ScanError(UadbidsError):
    """One scan cannot be processed; the others go on (exit status 1)."""


class BundleError(UadbidsError):
    """A model bundle is incomplete, altered or of another format."""


class DeviceError(UadbidsError):
    """The compute device that was asked for is not there."""
