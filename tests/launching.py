"""How the tests of launch/ run its scripts."""

import pathlib
import subprocess

ROOT = pathlib.Path(__file__).parents[1]
LAUNCH = ROOT / "launch"
SCRIPTS = sorted(p.name for p in LAUNCH.iterdir() if p.suffix in (".sh", ".sbatch"))


def bash(script: str, *arguments: str, **kwargs) -> subprocess.CompletedProcess:
    """Runs a script of launch/ from the folder of the repository, a minute at most."""
    command = ["bash", f"launch/{script}", *arguments]
    kwargs = {"cwd": ROOT, "capture_output": True, "text": True, "timeout": 60} | kwargs
    return subprocess.run(command, **kwargs)


def program(folder: pathlib.Path, name: str, source: str) -> pathlib.Path:
    """An executable shell script NAME in a folder; for PATH, before the real one."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_text(f"#!/usr/bin/env bash\n{source}\n")
    path.chmod(0o755)
    return path
