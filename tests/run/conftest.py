"""The small study, and what is made of it."""

from small_study import data, maps, masks, study  # noqa: F401
