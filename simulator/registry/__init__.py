"""An image registry that behaves, for the demo and the tests.

It keeps the rules a real one keeps (digests, links between repositories, what a manifest may refer
to), so that a client that works here works there; both stand the same contract tests.
"""

from simulator.registry.access import Access, Account
from simulator.registry.faults import Fault, Seen
from simulator.registry.server import SimulatedRegistry

__all__ = ["Access", "Account", "Fault", "Seen", "SimulatedRegistry"]
