"""Tier 3: work that outlives a request. The durable engine's port, its DBOS adapter, and batches."""

from seawall.orchestration.batch import Done, run_batch
from seawall.orchestration.dbos_engine import AlreadyRunning, DbosEngine
from seawall.orchestration.engine import Engine, Json, Work

__all__ = ["AlreadyRunning", "DbosEngine", "Done", "Engine", "Json", "Work", "run_batch"]
