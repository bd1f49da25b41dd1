"""The roots of every error Seawall raises; each mechanism keeps its own beside itself."""


class SeawallError(Exception):
    """Anything Seawall raises on purpose."""


class ConfigError(SeawallError, ValueError):
    """A setting that cannot hold; the message names it, what was expected and what to write instead."""


class StoreError(SeawallError):
    """A store failed or cannot be read; refusals are never reported this way."""


class Rejected(SeawallError):
    """Work refused on purpose, before or instead of doing it.

    `by` names the mechanism that refused; `retry_after` is seconds until another try can succeed, None when
    trying again cannot help. The text is safe to show to the caller: it holds no content and no key.
    """

    by: str = "seawall"
    retry_after: float | None = None
