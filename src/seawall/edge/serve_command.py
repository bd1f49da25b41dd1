"""`seawall serve`: any hardened agent behind HTTP."""

from ipaddress import ip_address
from pathlib import Path
from typing import Annotated

import typer

from seawall.edge.auth.key_store import open_key_store
from seawall.edge.local import open_keyring
from seawall.edge.settings import Settings, check_settings, read_settings
from seawall.foundation.errors import ConfigError

# It needs no key of any provider, so that the first request works.
_BUILT_IN = "seawall_contracts.service:app"
_CONFIG = typer.Option(help="Settings; default: seawall.toml, if it is there.")
_WORKERS = typer.Option(help="Processes; more than one share their counts through Redis.")
_STATE = typer.Option(help="Folder for keys, runs and the ledger.")
_DEV = typer.Option("--dev", help="For trying it on this machine: prints a key that holds for 12 hours.")


def serve(
    app: Annotated[
        str, typer.Argument(help="Where the Seawall is: module:attribute. Default: a reviewer of contracts.")
    ] = _BUILT_IN,
    *,
    config: Annotated[Path | None, _CONFIG] = None,
    host: Annotated[str | None, typer.Option(help="Address to listen on.")] = None,
    port: Annotated[int | None, typer.Option(help="Port to listen on.")] = None,
    workers: Annotated[int | None, _WORKERS] = None,
    state: Annotated[Path | None, _STATE] = None,
    dev: Annotated[bool, _DEV] = False,
) -> None:
    """Serve the agents of APP over HTTP, until told to end; what is under way then is finished first."""
    try:
        from seawall.edge.server import load_app
        from seawall.edge.server import serve as run
    except ImportError as error:
        raise ConfigError(f"the service needs {error.name}: pip install 'seawall[serve]'") from error
    settings = read_settings(config, host=host, port=port, workers=workers, state=state)
    load_app(app)
    check_settings(settings)
    if dev:
        _show_key(settings)
    elif not _has_callers(settings):
        raise ConfigError(
            "there is no API key yet, so nobody could call it; make one with: "
            "seawall keys create --tenant acme --subject me --scope run, or try it with --dev"
        )
    url = f"http://{settings.host}:{settings.port}"
    typer.echo(f"{app} on {url}, {settings.workers} worker(s)", err=True)
    if app == _BUILT_IN:
        typer.echo(f'try: curl -H "Authorization: Bearer $KEY" -F file=@nda.pdf {url}/v1/contracts', err=True)
    run(app, settings)


def _show_key(settings: Settings) -> None:
    if settings.host != "localhost" and not ip_address(settings.host).is_loopback:
        raise ConfigError(f"--dev listens on this machine alone, not on {settings.host}; leave --host out")
    with open_key_store(settings.state, open_keyring()) as keys:
        new = keys.create("dev", "developer", scopes=["*"], name="seawall serve --dev", lasts="12h")
    typer.echo(f"key for 12 hours: {new.token}", err=True)


def _has_callers(settings: Settings) -> bool:
    if settings.jwt is not None:
        return True
    with open_key_store(settings.state, open_keyring()) as keys:
        return bool(keys.all())
