"""Who hears that a circuit changed: the log, in one line a change, and the event stream."""

import logging

from seawall.defense.resilience import Listener, Transition
from seawall.foundation.events import BreakerChanged, EventBus

_log = logging.getLogger("seawall.resilience")


def announcing(dependency: str, events: EventBus) -> Listener:
    """Return a listener for the circuit of `dependency`."""

    def changed(transition: Transition) -> None:
        level = logging.INFO if transition.after == "closed" else logging.WARNING
        _log.log(
            level,
            "circuit of %s: %s -> %s: %s",
            dependency,
            transition.before,
            transition.after,
            transition.why,
        )
        events.publish(BreakerChanged(dependency, transition.before, transition.after, transition.why))

    return changed
