"""The small study."""

from small_study import study  # noqa: F401
