"""A contract sent to a service: its review, at once or later, and what is said of a file that cannot be reviewed."""

import asyncio
from collections.abc import AsyncGenerator
from io import BytesIO
from pathlib import Path
from typing import Any

import docx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from seawall_contracts.agent import NAME
from seawall_contracts.schema import ContractReview
from seawall_contracts.service import CONTRACTS, app
from seawall_contracts.service.document import Document, NoDocument
from tests.edge.serve.world import World, serving

NDA = (
    "MUTUAL NON-DISCLOSURE AGREEMENT\n\nThis Agreement is made between Acme Inc. and Beta LLC.\n\n"
    "1. Each party shall keep the other's Confidential Information in confidence.\n\n"
    "2. This Agreement shall be governed by the laws of the State of Delaware.\n"
)


@pytest.fixture
async def world(tmp_path: Path) -> AsyncGenerator[World]:
    """Serve the reviewer."""
    async with serving(app, tmp_path, max_upload=200_000) as world:
        yield world


def word() -> bytes:
    """Make a Word file of it."""
    document = docx.Document()
    for paragraph in NDA.split("\n\n"):
        document.add_paragraph(paragraph)
    file = BytesIO()
    document.save(file)
    return file.getvalue()


async def test_a_file_comes_back_as_its_review(world: World) -> None:
    """As a form's part, as a body, and as the text of a run: the same facts, and nothing of it left on the disk."""
    files = {"file": ("nda.docx", word(), "application/octet-stream")}
    async with world.client() as client:
        told = [
            await client.post(CONTRACTS, files=files),
            await client.post(CONTRACTS, content=NDA.encode(), headers={"content-type": "text/plain"}),
            await client.post(f"/v1/agents/{NAME}/runs", json={"input": NDA}),
        ]
        cards = (await client.get("/v1/agents")).json()["agents"]
    assert [one.status_code for one in told] == [200] * 3
    reviews = [ContractReview.model_validate(one.json()["output"]) for one in told]
    assert [review.facts.governing_law for review in reviews] == ["Delaware"] * 3
    assert {one.headers["seawall-degradation"] for one in told} == {"full"}
    assert cards[0]["output_schema"]["title"] == "ContractReview"
    assert not list((world.state / "reading").iterdir())
    left = [file for file in world.state.rglob("*") if file.is_file() and b"Beta LLC" in file.read_bytes()]
    assert not left


async def test_a_review_may_come_later(world: World) -> None:
    """The file is kept sealed until it is read."""
    async with world.client() as client:
        said = await client.post(f"{CONTRACTS}?async=true", files={"file": ("nda.docx", word())})
        assert said.status_code == 202
        async with asyncio.timeout(60):
            while (run := (await client.get(said.headers["location"])).json())["status"] != "done":
                await asyncio.sleep(0.05)
    assert run["output"]["facts"]["governing_law"] == "Delaware"


async def test_a_file_that_was_sent_twice_is_reviewed_once(world: World) -> None:
    """Under one Idempotency-Key, though a form's bytes are never the same twice."""
    headers, file = {"Idempotency-Key": "nda-1"}, word()
    async with world.client() as client:
        first, again = [
            await client.post(CONTRACTS, files={"file": ("nda.docx", file)}, headers=headers)
            for _ in range(2)
        ]
    assert (first.status_code, again.headers["idempotent-replayed"]) == (200, "true")
    assert first.content == again.content


REFUSED: list[tuple[dict[str, Any], int, str]] = [
    ({"files": {"file": ("x.exe", b"MZ")}}, 415, "unsupported-media-type"),
    ({"files": {"other": ("nda.txt", b"x")}}, 422, "invalid"),
    ({"data": {"file": "a word"}}, 415, "unsupported-media-type"),
    ({"files": {"file": ("nda.pdf", b"no pdf")}}, 422, "invalid"),
    ({"files": {"file": ("nda.txt", b"  ")}}, 422, "invalid"),
    ({"files": {"file": ("nda.txt", b"x" * 300_000)}}, 413, "too-large"),
    ({"content": b"x", "headers": {"content-type": "multipart/form-data"}}, 400, "bad-request"),
]


@pytest.mark.parametrize(
    ("request_", "status", "code"), REFUSED, ids=[f"{n}-{code}" for n, (_, _, code) in enumerate(REFUSED)]
)
async def test_what_is_no_contract_is_a_problem(
    world: World, request_: dict[str, Any], status: int, code: str
) -> None:
    """Said in one line, with nothing of the file in it, and the service goes on."""
    async with world.client() as client:
        said = await client.post(CONTRACTS, **request_)
        assert (said.status_code, said.json()["code"]) == (status, code)
        async with world.client(subject="bob", scopes=["run:other"]) as other:
            assert (await other.post(CONTRACTS, content=b"x")).status_code == 404
        assert (await client.get("/v1/agents")).status_code == 200


@given(st.binary(max_size=200), st.sampled_from([".pdf", ".docx", ".txt", ".md"]))
def test_a_document_is_the_same_after_its_way_as_text(content: bytes, suffix: str) -> None:
    """Bytes and kind."""
    document = Document(content, suffix)
    assert Document.of_text(document.as_text()) == document


@pytest.mark.parametrize(
    "given", ["data:", "data:text/plain,plain", "data:image/png;base64,AA==", "data:text/plain;base64,%"]
)
def test_a_data_url_that_holds_no_document_is_refused(given: str) -> None:
    """With what was expected."""
    with pytest.raises(NoDocument):
        Document.of_text(given)
