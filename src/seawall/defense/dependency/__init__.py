"""A dependency behind bulkhead, circuit breaker, time limit and retry budget: one mount for models, tools and stores."""

from seawall.defense.dependency.admission import Admission
from seawall.defense.dependency.announce import announcing
from seawall.defense.dependency.dependency import Dependency
from seawall.defense.dependency.protection import Protection
from seawall.defense.dependency.trail import UNRECORDED, Trail

__all__ = ["UNRECORDED", "Admission", "Dependency", "Protection", "Trail", "announcing"]
