"""Expiry: the moment itself counts as past."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall.foundation.compliance.retention import Expiry, expired, expires_at
from seawall.foundation.errors import ConfigError

MOMENTS = st.floats(0, 4e9)


@given(MOMENTS, st.floats(0.001, 1e8), MOMENTS)
def test_it_is_read_before_and_not_from_its_expiry(created: float, ttl: float, now: float) -> None:
    """Something can be read exactly while there is time remaining."""
    expiry = Expiry.after(created, timedelta(seconds=ttl))
    assert expiry.expired(now) is (expiry.remaining(now) == 0)
    assert expiry.expired(now) is (now >= expires_at(created, timedelta(seconds=ttl)))
    assert expired(expiry.at, expiry.at)


def test_durations_are_written_as_people_write_them() -> None:
    """Thirty days are thirty days; no time at all is a mistake."""
    assert expires_at(1000.0, "30d") == 1000.0 + 30 * 86400
    with pytest.raises(ConfigError):
        expires_at(0.0, "0s")
