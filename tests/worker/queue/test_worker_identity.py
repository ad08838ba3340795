"""Worker names: whether the process of a worker still runs."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

from worker.queue.worker_identity import is_dead, worker_name


def test_this_process_is_alive() -> None:
    assert not is_dead(worker_name())


def test_a_process_that_has_ended_is_dead() -> None:
    program = "from worker.queue.worker_identity import worker_name; print(worker_name())"
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert is_dead(ended.stdout.strip())


def test_a_worker_whose_process_id_was_reused_is_dead() -> None:
    assert is_dead(f"{socket.gethostname()}:{os.getpid()}:1")


def test_a_worker_of_another_machine_is_not_taken_for_dead() -> None:
    assert not is_dead("another-machine:1:1")
    assert not is_dead("no name of ours")
