"""uvicorn as the service runs it: its own protocol, several workers, an end that waits for what is under way."""

import importlib
import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import uvicorn
from pydantic import SecretStr
from uvicorn.supervisors import Multiprocess

from seawall.edge.app import Seawall
from seawall.edge.local import open_keyring
from seawall.edge.logs import log_to_stderr
from seawall.edge.metrics import SHARED
from seawall.edge.service import Application
from seawall.edge.settings import Settings, check_settings, read_settings
from seawall.foundation.errors import ConfigError
from seawall.foundation.units import seconds

# The loop takes one connection a turn from each socket that it listens on, and a turn under load takes milliseconds: with one
# socket a crowd that connects at once would keep everybody else outside for seconds.
_ACCEPTS = 16
# How a worker, which is another process, knows what to run.
_APP = "SEAWALL_SERVE_APP"
_SETTINGS = "SEAWALL_SERVE_SETTINGS"


def load_app(name: str) -> Seawall:
    """Import `module:attribute`; ConfigError, with what was expected, where there is no Seawall."""
    here = str(Path.cwd())
    if here not in sys.path:
        # As Python itself does for `python -m`.
        sys.path.insert(0, here)
    module, _, attribute = name.partition(":")
    try:
        found: Any = getattr(importlib.import_module(module), attribute or "app")
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"cannot load {name!r}: {error}; expected module:attribute, such as app:app"
        ) from error
    if not isinstance(found, Seawall):
        raise ConfigError(f"{name!r} is a {type(found).__name__}; expected a Seawall, as in app = Seawall()")
    return found


def make_application() -> Application:
    """Make a worker's application from what `serve` left in the environment."""
    log_to_stderr()
    told = json.loads(os.environ[_SETTINGS])
    settings = read_settings(Path(os.devnull), **told)
    return Application(load_app(os.environ[_APP]), settings, open_keyring(), owns_process=True)


def _share_metrics(folder: Path) -> None:
    """Have the workers that are started from now on add their numbers up."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    os.environ[SHARED] = str(folder)


def serve(name: str, settings: Settings) -> None:
    """Run the service until it is told to end."""
    log_to_stderr()
    load_app(name)
    check_settings(settings)
    os.environ[_APP] = name
    plain = settings.model_dump(mode="json", exclude={"redis_url", "database_url"})
    for setting in ("redis_url", "database_url"):
        secret: SecretStr | None = getattr(settings, setting)
        if secret is not None:
            plain[setting] = secret.get_secret_value()
    os.environ[_SETTINGS] = json.dumps(plain)
    config = uvicorn.Config(
        "seawall.edge.server:make_application",
        factory=True,
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http="seawall.edge.http.protocol:WireProtocol",
        ws="none",
        lifespan="on",
        access_log=False,
        log_level="warning",
        log_config=None,
        proxy_headers=False,
        server_header=False,
        timeout_keep_alive=30,
        timeout_graceful_shutdown=int(seconds(settings.drain)),
        backlog=2048,
    )
    listening = config.bind_socket()
    sockets = [listening, *(listening.dup() for _ in range(_ACCEPTS - 1))]
    if settings.workers == 1:
        uvicorn.Server(config).run(sockets)
        return
    _share_metrics(settings.state / "metrics")
    Multiprocess(config, sockets=sockets).run()
