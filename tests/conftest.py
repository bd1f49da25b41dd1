"""Fixtures that every tier's tests may use."""

from tests.postgres import postgres, postgres_server, where
from tests.redis_server import redis_server

__all__ = ["postgres", "postgres_server", "redis_server", "where"]
