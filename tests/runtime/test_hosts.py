"""Who takes part, and that a host that does not come is named instead of waited for in silence."""

import re
import threading

import pytest
from free_port import free_port

from glam_jax.runtime import hosts, rollcall

NOTHING = {"coordinator": None, "processes": None, "process": None}


def gather(port, members, timeout_s=10.0):
    """[(processes, process), ...] call all at once; process -> the error it got, or None."""
    found = {}

    def call(at, processes, process):
        try:
            rollcall.call(f"localhost:{port}", processes, process, timeout_s)
            found[at] = None
        except rollcall.HostError as error:
            found[at] = str(error)

    threads = [
        threading.Thread(target=call, args=(at, *member)) for at, member in enumerate(members)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    return [found[at] for at in range(len(members))]


def test_all_arrive_in_any_order():
    port = free_port()
    assert gather(port, [(3, 2), (3, 0), (3, 1)]) == [None] * 3
    assert gather(port, [(2, 0), (2, 1)]) == [None] * 2  # the port is free again at once


def test_everybody_learns_who_is_missing():
    errors = gather(free_port(), [(4, 0), (4, 2)], timeout_s=0.5)
    for error in errors:
        assert re.search(r"2 of 4 processes did not .* within 0.5 s; missing: process 1, 3", error)
        assert "--host_timeout" in error


def test_a_coordinator_that_is_not_there_is_named():
    port = free_port()
    (error,) = gather(port, [(2, 1)], timeout_s=0.3)
    assert f"process 1 of 2 did not reach process 0 at localhost:{port} within 0.3 s" in error


def test_those_who_disagree_are_told():
    errors = gather(free_port(), [(2, 0), (3, 1)])
    assert all("process 0 was told 2, process 1 3" in error for error in errors)
    errors = gather(free_port(), [(3, 0), (3, 1), (3, 1)])
    assert all("process: 1 was given to two" in error for error in errors)


def test_flags_come_before_the_environment():
    environment = {"GLAM_COORDINATOR": "a:1", "GLAM_PROCESSES": "4", "GLAM_PROCESS": "3"}
    assert hosts.membership(NOTHING, {}) is None
    assert hosts.membership(NOTHING, environment) == hosts.Membership("a:1", 4, 3)
    asked = NOTHING | {"process": 0}
    assert hosts.membership(asked, environment) == hosts.Membership("a:1", 4, 0)


@pytest.mark.parametrize(
    "asked, message",
    [
        ({"coordinator": "a:1"}, r"--processes \(or GLAM_PROCESSES\) and --process"),
        ({"coordinator": "a:1", "processes": 2, "process": 2}, "found 2, expected 0 to 1"),
        ({"coordinator": "a:1", "processes": "two", "process": 1}, "whole numbers.*two"),
        ({"coordinator": "a", "processes": 2, "process": 1}, "found 'a', expected HOST:PORT"),
    ],
)
def test_half_a_membership_is_refused(asked, message):
    with pytest.raises(rollcall.HostError, match=message):
        hosts.membership(NOTHING | asked, {})


def test_one_host_leads_and_asks_nobody():
    assert hosts.is_leader() and hosts.any_host(True) and not hosts.any_host(False)
    with hosts.leader_first():
        pass
