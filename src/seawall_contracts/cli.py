"""`seawall-contracts`: review a folder of contracts."""

import asyncio
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from seawall import SeawallError, seconds
from seawall_contracts.batch import Options, Run
from seawall_contracts.display import Display, summary_table
from seawall_contracts.outputs import write_report, write_summary
from seawall_contracts.outputs.results import read_rows, write_json
from seawall_contracts.playbooks import PlaybookError, load_playbook

SOME_FAILED = 3
USAGE = 2
INTERRUPTED = 130

app = typer.Typer(no_args_is_help=True, pretty_exceptions_enable=False, add_completion=False)


@app.callback()
def contracts() -> None:
    """Review commercial contracts: findings with verbatim evidence, playbook verdicts, cost. Not legal advice."""


@app.command()
def review(
    paths: Annotated[
        list[str], typer.Argument(help="Files, folders (searched through) or globs.", metavar="PATH...")
    ],
    out: Annotated[
        Path, typer.Option(help="Folder for the results; a second run goes on where the first stopped.")
    ],
    playbook: Annotated[
        str | None, typer.Option(help="nda, msa or a .toml file; default: by document type.")
    ] = None,
    model: Annotated[
        str, typer.Option(help="'local' (offline, free) or any Pydantic AI model name.")
    ] = "local",
    workers: Annotated[
        int | None, typer.Option(help="Processes that read documents; default: one a core.", min=1)
    ] = None,
    fresh: Annotated[
        bool, typer.Option("--fresh", help="Forget what earlier runs recorded, and start over.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="Print nothing but errors.")] = False,
    retention: Annotated[
        str, typer.Option(help="How long recorded results and ledger rows can be read.")
    ] = "30d",
    risk_model: Annotated[
        str | None,
        typer.Option(help="Any Pydantic AI model name: it weighs each review's risk. Default: none."),
    ] = None,
    risk_patience: Annotated[
        str,
        typer.Option(help="How long the end of a run waits for the risk model's next answer, such as 30s."),
    ] = "2m",
    minutes_per_contract: Annotated[
        float, typer.Option(help="Manual baseline: minutes a contract.", min=0)
    ] = 45,
    usd_per_contract: Annotated[float, typer.Option(help="Manual baseline: dollars a contract.", min=0)] = 48,
) -> None:
    """Review contracts (.txt, .md, .pdf, .docx) and write results.jsonl, summary.csv, run.json and report.html to DIR.

    Exit status: 0 all reviewed (also those whose risk is the playbook's alone), 3 some failed, 2 wrong usage, 130 interrupted (run again to go on).
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise typer.BadParameter(
            f"no such folder can be made ({error.strerror}); name another", param_hint="--out"
        ) from error
    options = Options(
        paths=tuple(paths),
        out=out,
        playbook=playbook,
        model=model,
        workers=workers or max(1, len(os.sched_getaffinity(0))),
        fresh=fresh,
        retention=retention,
        risk_model=risk_model,
        risk_patience=seconds(risk_patience),
        minutes_per_contract=Decimal(str(minutes_per_contract)),
        usd_per_contract=Decimal(str(usd_per_contract)),
    )
    raise typer.Exit(asyncio.run(_review(options, quiet=quiet)))


@app.command()
def check_playbook(playbook: Annotated[str, typer.Argument(help="nda, msa or a .toml file.")]) -> None:
    """Check a playbook: silent and 0 if it can be used, else what is wrong and where."""
    load_playbook(playbook)


async def _review(options: Options, *, quiet: bool) -> int:
    run = Run(options)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGINT, _stop, run)
    loop.add_signal_handler(signal.SIGTERM, _stop, run)
    console = Console(quiet=quiet, stderr=True)
    with Display(console, run.progress) as display:
        async for row in run.rows():
            display.advance(row)
    progress = run.progress
    facts = run.facts()
    write_json(options.out / "run.json", facts)
    results = options.out / "results.jsonl"
    write_summary(options.out / "summary.csv", read_rows(results))
    write_report(options.out / "report.html", read_rows(results), facts, options.out / "text")
    console.print(summary_table(facts, options.out))
    if progress.degraded:
        console.print(
            f"{progress.degraded} of them with a part missing. Run the same command again to ask for that alone.",
            soft_wrap=True,
        )
    if progress.interrupted:
        console.print("Interrupted. Run the same command again to go on.")
        return INTERRUPTED
    if progress.total == 0:
        console.print(
            "[red]No contracts found.[/] Name files or folders with .txt, .md, .pdf or .docx files in them."
        )
        return USAGE
    return SOME_FAILED if progress.failed else 0


def _stop(run: Run) -> None:
    # A second Ctrl-C must end it even if something under way hangs.
    asyncio.get_running_loop().remove_signal_handler(signal.SIGINT)
    run.stop.set()


def main() -> None:
    """Run the command line; errors of our own are one line, not a traceback."""
    try:
        app()
    except (SeawallError, PlaybookError) as error:
        typer.echo(f"seawall-contracts: {error}", err=True)
        raise SystemExit(USAGE) from error
