"""A store, a memory or a client of any kind behind one dependency, method by method."""

import inspect
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from functools import wraps
from typing import Any, TypeVar, cast

from seawall.defense.dependency import UNRECORDED, Dependency
from seawall.defense.run_state import run_under_way
from seawall.foundation.errors import ConfigError

T = TypeVar("T")


def protect(
    target: T,
    dependency: Dependency,
    *,
    methods: Collection[str] | None = None,
    idempotent: Collection[str] = (),
) -> T:
    """Return `target` with its coroutine methods called through `dependency`, and all else as it is.

    Every public coroutine method, or those named. `idempotent` names those that may be called again where a call
    failed. Of an async iterator each item is a call of its own; between items no place is held. Plain methods are not
    protected: they hold the loop, and nothing can be done about that from here. Nor are the objects that they return, be
    it something to await (so in `redis.asyncio`; put such calls in a function under `@dependency`), nor what the target
    does by itself: `async with` and the like are not passed on, so enter the target and protect what comes of it.
    ConfigError where a name is no such method, or there is none.

    >>> from seawall.defense.dependency import Protection
    >>> class Notes:
    ...     async def read(self, key: str) -> str:
    ...         return f"note {key}"
    >>> notes = protect(Notes(), Dependency("memory notes", Protection(timeout="200ms")), idempotent=["read"])
    >>> import asyncio
    >>> asyncio.run(notes.read("a"))
    'note a'
    """
    known = {name for name in dir(target) if not name.startswith("_") and _is_async(target, name)}
    for name in (*(methods or ()), *idempotent):
        if name not in known:
            raise ConfigError(
                f"protect({type(target).__name__}): {name!r} is none of its coroutine methods, "
                f"which are {', '.join(sorted(known)) or 'none'}"
            )
    chosen = known if methods is None else set(methods)
    if not chosen:
        raise ConfigError(
            f"protect({type(target).__name__}): it has no coroutine methods, so nothing would be protected"
        )
    if not chosen.issuperset(idempotent):
        raise ConfigError(
            f"protect({type(target).__name__}): idempotent={sorted(idempotent)} must be among methods="
        )
    return cast("T", _Protected(target, dependency, chosen, frozenset(idempotent)))


class _Protected:
    """Stands in for the target; `isinstance` sees the target's own class."""

    _target: object
    _dependency: Dependency
    _chosen: set[str]
    _idempotent: frozenset[str]

    def __init__(
        self, target: object, dependency: Dependency, chosen: set[str], idempotent: frozenset[str]
    ) -> None:
        # Past its own `__setattr__`, which sets the target's.
        self.__dict__.update(_target=target, _dependency=dependency, _chosen=chosen, _idempotent=idempotent)

    @property
    def __class__(self) -> type:  # pyright: ignore[reportIncompatibleMethodOverride]
        return type(self._target)

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._target, name)
        if name not in self._chosen:
            return found
        if inspect.isasyncgenfunction(found):
            return _items_through(self._dependency, found)
        return _through(self._dependency, found, idempotent=name in self._idempotent)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._target, name, value)


def _through(dependency: Dependency, method: Callable[..., Any], *, idempotent: bool) -> Callable[..., Any]:
    @wraps(method)
    async def call(*args: Any, **kwargs: Any) -> Any:
        trail = run_under_way() or UNRECORDED
        return await dependency.call(lambda: method(*args, **kwargs), idempotent=idempotent, trail=trail)

    return call


def _items_through(
    dependency: Dependency, method: Callable[..., AsyncIterator[Any]]
) -> Callable[..., AsyncGenerator[Any]]:
    @wraps(method)
    async def items(*args: Any, **kwargs: Any) -> AsyncGenerator[Any]:
        trail = run_under_way() or UNRECORDED
        given = cast("AsyncGenerator[Any]", method(*args, **kwargs))
        try:
            while True:
                item: list[Any] = []

                async def following(into: list[Any] = item) -> None:
                    async for one in given:
                        into.append(one)
                        return

                await dependency.call(following, trail=trail)
                if not item:
                    return
                yield item[0]
        finally:
            await given.aclose()

    return items


def _is_async(target: object, name: str) -> bool:
    # Looked up on the class first: a property must not be run to find out what it gives.
    found: Any = inspect.getattr_static(target, name, None)
    function: Any = getattr(found, "__func__", found)
    return inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
