"""Fixtures that every tier's tests may use."""

from tests.redis_server import redis_server

__all__ = ["redis_server"]
