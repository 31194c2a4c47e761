"""Where lives of a small training run, see train_lives, are started and ended."""

import json
import os
import pathlib
import subprocess
import sys

import train_lives
from free_port import free_port

from glam_jax import files

KILLED = -9


class Nursery:
    """The process that lives are forked from; its answers are exit statuses."""

    def __init__(self):
        program = pathlib.Path(train_lives.__file__)
        self._process = subprocess.Popen(
            [sys.executable, str(program)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | {"PYTHONPATH": str(program.parents[1])},
        )

    def run(self, folder, processes=1, devices=1, falls=None, errors=None, logs=None) -> list[int]:
        """Lives a run's processes to their end; falls and errors: process -> as of a life;
        logs: the folder of what they print, if it is not the run's."""
        folder = files.make_folder(folder)
        coordinator = f"localhost:{free_port()}"
        lives = [
            {
                "folder": str(folder),
                "log": str((logs or folder) / f"process{k}.log"),
                "devices": devices,
                "member": [coordinator, processes, k] if processes > 1 else None,
                "fall": (falls or {}).get(k),
                "error": (errors or {}).get(k),
            }
            for k in range(processes)
        ]
        self._process.stdin.write(json.dumps(lives) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def close(self):
        self._process.communicate(timeout=30)
