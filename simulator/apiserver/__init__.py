"""A Kubernetes-style API server that can be told to misbehave."""

from simulator.apiserver.faults import Fault, Request
from simulator.apiserver.server import ApiServer
from simulator.apiserver.status import ApiError
from simulator.apiserver.store import Store, Version
from simulator.apiserver.writes import By

__all__ = ["ApiError", "ApiServer", "By", "Fault", "Request", "Store", "Version"]
