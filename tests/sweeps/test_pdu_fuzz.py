"""Damaged PDUs in every state that takes input: the receiver lives, answers others, keeps order.

TLS is not covered, nor is what the coordinator makes of odd datasets that were kept.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psutil
import pytest
from fuzzing import Fuzzer
from mutations import STATES, Inputs
from spool_check import files_in, quarantined_in

pytestmark = pytest.mark.timeout(3600)

LIMITS = {
    "pdu_seconds": 2.0,
    "idle_seconds": 2.0,
    "instance_seconds": 3.0,
    "maximum_associations": 400,
    "maximum_connections_per_address": 400,
}
# An association that waits for a commitment's result is idle after instance_seconds only; and time
# for a busy machine.
SILENT_SECONDS = 9.0
GROWTH_BYTES = 96 << 20


@pytest.mark.parametrize("state", STATES)
def test_a_receiver_stands_damaged_pdus(sweep, lone_receiver, tmp_path, wait_until, state):
    count, receivers = (100_000, 2) if sweep.full else (250, 1)
    inputs = Inputs(sweep.seed)
    targets = [
        lone_receiver(tmp_path / f"spool-{number}", durable=False, **LIMITS)
        for number in range(receivers)
    ]
    fuzzers = [Fuzzer(target, inputs, state, SILENT_SECONDS) for target in targets]
    before = [footprint(target, fuzzer) for target, fuzzer in zip(targets, fuzzers, strict=True)]
    began = time.monotonic()
    with ThreadPoolExecutor(receivers) as pool:
        for number, fuzzer in enumerate(fuzzers):
            pool.submit(fuzzer.run, range(number, count, receivers))
    seconds = time.monotonic() - began
    for target, fuzzer, baseline in zip(targets, fuzzers, before, strict=True):
        growth = peak_memory(target.process) - baseline[2] >> 20
        sweep.note(
            f"{state}: {fuzzer.sent.inputs} inputs in {seconds:.0f} s, +{growth} MiB,"
            f" {fuzzer.sent.answered}"
        )
        require_sound(target, fuzzer, baseline, wait_until)
    assert sum(fuzzer.sent.inputs for fuzzer in fuzzers) == count


def footprint(target, fuzzer):
    """Descriptors and threads of a receiver that has served somebody, and its peak memory."""
    fuzzer.be_honest()
    return target.process.num_fds(), target.process.num_threads(), peak_memory(target.process)


def peak_memory(process):
    """The largest resident set so far, in bytes."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024


def require_sound(target, fuzzer, baseline, wait_until):
    """The receiver is as it was before, and its spool holds what was acknowledged and no more."""
    sent = fuzzer.sent
    assert sent.failures == [], "\n".join(sent.failures)
    assert target.process.status() != psutil.STATUS_ZOMBIE
    fuzzer.be_honest()
    descriptors, threads, memory = baseline
    wait_until(lambda: target.process.num_fds() <= descriptors, "its descriptors to be closed")
    wait_until(lambda: target.process.num_threads() <= threads, "its threads to end")
    wait_until(lambda: target.incoming() == [], "unfinished files to be removed")
    assert target.log.read_text(errors="replace") == ""  # no error was unexpected

    files, aside = files_in(target.spool), quarantined_in(target.spool)
    honest = {(instance.sop_instance_uid, instance.sha256) for instance in sent.honest}
    assert honest <= files
    assert {digest for _, digest in files - honest} | aside <= sent.permitted
    for uid, datasets in sent.acknowledged:
        assert any((uid, digest) in files or digest in aside for digest in datasets), uid
    assert peak_memory(target.process) - memory < GROWTH_BYTES
