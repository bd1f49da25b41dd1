"""The service against its own OpenAPI document, by schemathesis: whatever is sent, what comes back is what was promised."""

import asyncio
import threading
from collections.abc import Generator
from pathlib import Path
from typing import Any, cast

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel
from pydantic_ai import Agent
from pydantic_ai.models.test import TestModel
from schemathesis import checks as general
from schemathesis.specs.openapi import checks as conformance

from seawall import Policy, RateLimit, Seawall
from seawall_contracts.agent import NAME
from seawall_contracts.service import CONTRACTS, contract_routes, open_reviewer
from tests.edge.serve.world import serving

CHECKS = [
    cast("Any", general).not_a_server_error,
    *(
        getattr(conformance, f"{what}_conformance")
        for what in ("status_code", "content_type", "response_headers", "response_schema")
    ),
]
OPERATIONS = [
    "GET /healthz",
    "GET /metrics",
    "GET /problems",
    "GET /problems/{code}",
    "GET /readyz",
    "GET /v1/agents",
    "GET /v1/models",
    "GET /v1/runs/{run_id}",
    "GET /v1/runs/{run_id}/events",
    "POST /v1/agents/{agent}/runs",
    "POST /v1/chat/completions",
    f"POST {CONTRACTS}",
    "POST /v1/runs/{run_id}/cancel",
]


class Level(BaseModel):
    """A typed answer."""

    level: int


class Service(threading.Thread):
    """A service on a thread of its own, as schemathesis' clients wait for answers in theirs."""

    def __init__(self, folder: Path) -> None:
        super().__init__(daemon=True)
        self.folder = folder
        self.ready = threading.Event()
        self.over = threading.Event()
        self.url = self.authorization = ""

    def run(self) -> None:
        """Serve until told to end."""
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        app = Seawall(limits=[RateLimit(100_000, "1s")])
        app.add(Agent(TestModel(), name="clerk"), Policy(abuse=None))
        app.add(Agent(TestModel(), name="judge", output_type=Level), Policy(abuse=None))
        app.offer(NAME, open_reviewer)
        app.include(contract_routes, uploads=[CONTRACTS])
        async with serving(app, self.folder) as world, world.client(scopes=["*"]) as client:
            self.url, self.authorization = world.url, client.headers["authorization"]
            self.ready.set()
            while not self.over.is_set():
                await asyncio.sleep(0.05)


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Generator[Service]:
    """Serve two agents and the reviewer of contracts."""
    thread = Service(tmp_path_factory.mktemp("state"))
    thread.start()
    assert thread.ready.wait(60)
    yield thread
    thread.over.set()
    thread.join(60)


@pytest.fixture(scope="module")
def document(service: Service) -> Any:
    """Read the service's own document."""
    return schemathesis.openapi.from_url(f"{service.url}/openapi.json")


def test_every_operation_is_tried(document: Any) -> None:
    """One that is added is added here."""
    assert sorted(found.ok().label for found in document.get_all_operations()) == sorted(OPERATIONS)


@pytest.mark.parametrize("known", [True, False], ids=["with a key", "without a key"])
@pytest.mark.parametrize("label", OPERATIONS)
def test_the_service_keeps_to_its_document(service: Service, document: Any, label: str, known: bool) -> None:
    """No error of its own, no status, type, header or shape that is not in the document."""
    found = next(one.ok() for one in document.get_all_operations() if one.ok().label == label)

    @settings(
        max_examples=25 if known else 5,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much, HealthCheck.data_too_large],
    )
    @given(case=found.as_strategy(), agent=st.sampled_from(["clerk", "judge", NAME, None]))
    def tried(case: Any, agent: str | None) -> None:
        if agent is not None and "agent" in (case.path_parameters or {}):
            case.path_parameters["agent"] = agent
        headers = {"Authorization": service.authorization if known else "Bearer sw_nobody"}
        case.call_and_validate(headers=headers, checks=CHECKS, timeout=30)

    tried()
