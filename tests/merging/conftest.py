"""Settings of the property-based tests of this folder."""

from __future__ import annotations

from hypothesis import settings

# A busy machine is no failure: the time that one example takes says nothing about a law.
settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")
