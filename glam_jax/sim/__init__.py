"""Simulation: robots, scenes, tasks, experts and renderer."""

import contextlib
import io

# MJX prints that its optional Warp backend is not installed, whoever imports it first.
with contextlib.redirect_stdout(io.StringIO()):
    from mujoco import mjx as _mjx  # noqa: F401
