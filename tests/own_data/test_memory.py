"""A long recording with large pictures is converted frame by frame."""

import subprocess
import sys
import textwrap

import h5py
import numpy as np
import pytest


@pytest.mark.slow
def test_a_long_episode_of_large_pictures_needs_little_memory(tmp_path):
    """Two cameras of 1920 x 1080 for 500 steps are 6.2 GB; the file holds them compressed."""
    steps = 500
    path = tmp_path / "long.hdf5"
    with h5py.File(path, "w") as file:
        group = file.create_group("data/demo_0")
        for name in ("left", "right"):
            group.create_dataset(
                name, (steps, 1080, 1920, 3), np.uint8, chunks=(1, 1080, 1920, 3), fillvalue=9
            )
        group["state"] = np.tile([0.4, 0, 0.2, 0, 0, 0, 1], (steps, 1))
        group["state"][:, 0] = np.linspace(0.3, 0.5, steps)
    script = f"""
        import resource
        from glam_jax.own_data import convert, ingest, key_map
        from glam_jax.schema import Layout
        keys = key_map.read("arm", {{
            "path": {str(path)!r}, "rate_hz": 30.0, "views": {{"left": "left", "right": "right"}},
            "position": "state[0:3]", "rotation": "state[3:7]",
        }}, arms=1)
        aim = convert.Aim(Layout(1, 64, True, views=("left", "right")), 10.0, "other")
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        ingest.ingest({str(tmp_path / "data")!r}, "long", "arm", keys, aim, 1, 0)
        print((resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024)
    """
    command = [sys.executable, "-c", textwrap.dedent(script)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    assert float(done.stdout.split()[-1]) < 600, "MB"  # mostly TFDS's writer
