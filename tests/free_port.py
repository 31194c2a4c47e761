"""A port that nothing on this machine uses, for processes that a test lets talk."""

import socket


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("localhost", 0))
        return probe.getsockname()[1]
