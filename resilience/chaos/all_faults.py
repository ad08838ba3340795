"""All faults of a chaos run by name."""

from __future__ import annotations

from benchmarks.chaos import order_faults, service_faults, worker_faults
from benchmarks.chaos.striking import Kinds

KINDS: Kinds = {**worker_faults.KINDS, **service_faults.KINDS, **order_faults.KINDS}
