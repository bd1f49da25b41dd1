"""`POST /v1/contracts`: a file, and its review."""

from fastapi import APIRouter
from starlette.datastructures import FormData, UploadFile
from starlette.requests import Request
from starlette.responses import Response

from seawall.edge import Run, Site, Unreadable, create_run, documented
from seawall_contracts.agent import NAME
from seawall_contracts.service.document import Document, NoDocument

CONTRACTS = "/v1/contracts"
_FORM = "multipart/form-data"


def contract_routes(site: Site) -> APIRouter:
    """Make the route."""
    router = APIRouter(tags=["contracts"])
    reviewer = site.served[NAME]

    @router.post(CONTRACTS, **documented(Run, later=True, upload=True))
    async def review_contract(request: Request) -> Response:
        """Have a contract reviewed: the review at once, or later with `async=true`.

        The file is the body itself with its media type, or the part `file` of a form.
        """
        if not request.scope["seawall"].may_run(NAME):
            raise Unreadable("not-found", "this caller may ask no reviewer; see GET /v1/agents")
        later = request.query_params.get("async", "false").lower()
        if later not in {"true", "false"}:
            raise Unreadable("invalid", "async: expected true or false")
        try:
            document = await _document(request)
        except NoDocument as error:
            raise Unreadable("unsupported-media-type", str(error)) from error
        return await create_run(site, request, reviewer, document.as_text(), later=later == "true")

    return router


async def _document(request: Request) -> Document:
    kind = request.headers.get("content-type", "")
    if not kind.startswith(_FORM):
        return Document.of_file(await request.body(), "", kind)
    form: FormData
    async with request.form(max_files=1, max_fields=8) as form:
        file = form.get("file")
        if not isinstance(file, UploadFile):
            raise Unreadable("invalid", "expected the contract as the part named file: curl -F file=@nda.pdf")
        return Document.of_file(await file.read(), file.filename or "", file.content_type or "")
