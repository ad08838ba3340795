"""All faults of a chaos run by name."""

from __future__ import annotations

from resilience.chaos import client_faults, service_faults, worker_faults
from resilience.chaos.fault_api import Kinds

KINDS: Kinds = {**worker_faults.KINDS, **service_faults.KINDS, **client_faults.KINDS}
