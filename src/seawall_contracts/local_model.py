"""The local reviewer as a Pydantic AI model: offline, free, deterministic, and honest about what it cannot tell.

It reads the same prompt as any other model: fenced passages and questions. It knows nothing else of the
document, and nothing but these questions.
"""

from decimal import Decimal
from functools import cache

from pydantic_ai.exceptions import UnexpectedModelBehavior
from pydantic_ai.messages import ModelMessage, ModelRequest, ModelResponse, ToolCallPart, UserPromptPart
from pydantic_ai.models import Model, ModelRequestParameters
from pydantic_ai.settings import ModelSettings
from pydantic_ai.usage import RequestUsage

from seawall_contracts.finder.nda import NdaReader
from seawall_contracts.finder.reader import Passage, Reader
from seawall_contracts.preparation import WITHHELD, estimate_tokens
from seawall_contracts.reading import (
    ClauseReading,
    Evidence,
    HypothesisReading,
    Reading,
    parse_prompt,
)
from seawall_contracts.workers import Runner

NAME = "seawall-local-1"


class LocalModel(Model):
    """Answers `write_prompt` prompts with a `Reading`, wherever the runner runs it.

    UnexpectedModelBehavior for any other prompt or output type: it is a reviewer, not a language model.
    """

    def __init__(self, runner: Runner) -> None:
        super().__init__()
        self._runner = runner

    @property
    def model_name(self) -> str:
        """Name and version of the weights."""
        return NAME

    @property
    def system(self) -> str:
        """Provider's name in telemetry and prices."""
        return "seawall"

    async def request(
        self,
        messages: list[ModelMessage],
        model_settings: ModelSettings | None,
        model_request_parameters: ModelRequestParameters,
    ) -> ModelResponse:
        """Answer the prompt through the output tool."""
        tools = model_request_parameters.output_tools
        if len(tools) != 1:
            raise UnexpectedModelBehavior(
                "the local reviewer answers one output type, `Reading`, by its output tool"
            )
        prompt = _prompt(messages)
        answer = await self._runner.run(read_prompt, prompt)
        return ModelResponse(
            parts=[ToolCallPart(tool_name=tools[0].name, args=answer)],
            usage=RequestUsage(
                input_tokens=estimate_tokens(len(prompt)),
                output_tokens=estimate_tokens(len(answer)),
                # Known to be nothing, which is not the same as unknown.
                cost=Decimal(0),
            ),
            model_name=NAME,
            provider_name="seawall",
        )


def read_prompt(prompt: str) -> str:
    """Answer one prompt; a `Reading` as JSON."""
    questions = parse_prompt(prompt)
    passages = {block.id: Passage(block.id, block.title, block.text) for block in questions.passages}
    clauses = [
        ClauseReading(
            clause=answer.clause,
            present=answer.present,
            confidence=answer.probability,
            abstained=answer.abstained,
            # After the reader's choice the retriever's order is as good as any, and that is known already.
            evidence=_evidence(answer.ranking[:1], passages, quoted=answer.present),
        )
        for answer in _reader().read(passages, questions.clauses)
    ]
    hypotheses = [
        HypothesisReading(
            id=answer.id,
            label=answer.label,
            confidence=answer.probability,
            abstained=answer.abstained,
            evidence=_evidence(answer.ranking, passages, quoted=answer.label != "NotMentioned"),
        )
        for answer in (_nda_reader().read(passages, questions.hypotheses) if questions.hypotheses else ())
    ]
    return Reading(clauses=tuple(clauses), hypotheses=tuple(hypotheses)).model_dump_json()


@cache
def _reader() -> Reader:
    return Reader.load()


@cache
def _nda_reader() -> NdaReader:
    return NdaReader.load()


def _evidence(
    ranking: tuple[str, ...], passages: dict[str, Passage], *, quoted: bool
) -> tuple[Evidence, ...]:
    best, *others = ranking or ("",)
    if not best:
        return ()
    text = passages[best].text
    # A passage with words cut out of it cannot be quoted whole.
    first = Evidence(passage=best, quote=text if quoted and WITHHELD not in text else "")
    return (first, *(Evidence(passage=id_) for id_ in others))


def _prompt(messages: list[ModelMessage]) -> str:
    for message in reversed(messages):
        if isinstance(message, ModelRequest):
            for part in reversed(message.parts):
                if isinstance(part, UserPromptPart) and isinstance(part.content, str):
                    return part.content
    raise UnexpectedModelBehavior("the local reviewer found no text prompt to answer")
