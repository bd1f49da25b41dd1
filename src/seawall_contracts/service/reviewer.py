"""Reviews one document for one caller, at the request of a service."""

import asyncio
import os
import shutil
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from seawall import Abuse, Hardened, Health, Principal, harden
from seawall.edge import Answer, Site, Unreadable
from seawall_contracts.agent import NAME, build_agent, build_policy
from seawall_contracts.assembly import assemble
from seawall_contracts.documents import DocumentError
from seawall_contracts.local_model import LocalModel
from seawall_contracts.playbooks import load_playbook, select_playbook
from seawall_contracts.preparation import Prepared, prepare
from seawall_contracts.reading import Reading, write_prompt
from seawall_contracts.schema import ContractReview
from seawall_contracts.service.document import Document, NoDocument
from seawall_contracts.workers import OutOfTime, WorkerDied, Workers

_ABANDONED_SECONDS = 600.0


class ContractReviewer:
    """A contract's text, or a file as a data: URL, becomes its review. Documents are read in processes of their own."""

    name = NAME
    description = "Reviews a commercial contract: clauses with verbatim evidence, a playbook's verdict, risk. Not legal advice."

    def __init__(self, agent: Hardened[None, Reading], workers: Workers, folder: Path) -> None:
        self.schema: dict[str, Any] = ContractReview.model_json_schema(mode="serialization")
        self._agent = agent
        self._workers = workers
        self._folder = folder

    async def run(self, given: str, principal: Principal) -> Answer:
        """Review it; Unreadable where it is no document that can be reviewed."""
        prepared = await self._read(given)
        result = await self._agent.run(
            write_prompt(prepared.questions()),
            deps=None,
            principal=principal,
            tokens_without_retrieval=prepared.tokens,
        )
        playbook = load_playbook(select_playbook(prepared.facts.document_type))
        review = assemble(prepared, result.output, playbook)
        return Answer(review.model_dump(mode="json"), result.transaction)

    def health(self) -> Health:
        """Say what works less than it should."""
        return self._agent.health()

    async def _read(self, given: str) -> Prepared:
        # Parsers read files; what is written for them is gone when the document is read.
        with TemporaryDirectory(dir=self._folder) as folder:
            try:
                path = await asyncio.to_thread(_written, given, Path(folder))
                return await self._workers.run(prepare, str(path), folder, nda=None)
            except (DocumentError, NoDocument, OutOfTime, WorkerDied) as error:
                raise Unreadable("invalid", str(error)) from error


def _written(given: str, folder: Path) -> Path:
    document = Document.of_text(given)
    path = folder / f"document{document.suffix}"
    path.write_bytes(document.content)
    return path


def _clear(folder: Path) -> None:
    """Delete what a process left there that ended without being asked to; what others read now is younger."""
    for left in folder.iterdir():
        if time.time() - left.stat().st_mtime > _ABANDONED_SECONDS:
            shutil.rmtree(left, ignore_errors=True)


@asynccontextmanager
async def open_reviewer(site: Site) -> AsyncGenerator[ContractReviewer]:
    """Open it for one worker process of a service, with as many processes to read documents as there are cores for it."""
    cores = len(os.sched_getaffinity(0))
    workers = Workers(max(1, cores // site.settings.workers))
    folder = site.settings.state / "reading"
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    _clear(folder)
    try:
        policy = build_policy(concurrency=2 * workers.count, retention=site.settings.retention.ledger)
        agent = harden(
            build_agent(LocalModel(workers)),
            # Many callers, unlike a batch, answer for themselves.
            replace(policy, abuse=Abuse(), profile=site.settings.profile),
            stores=site.stores,
            events=site.events,
            keyring=site.keyring,
        )
        yield ContractReviewer(agent, workers, folder)
    finally:
        await asyncio.to_thread(workers.close)
