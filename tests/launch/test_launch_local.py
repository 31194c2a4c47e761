"""Local processes for real: what they are told, how they end, and that signals reach them."""

import json
import os
import pathlib
import signal
import subprocess
import sys
import time

import pytest
from launching import ROOT, bash

VARIABLES = """
import json, os
names = ("GLAM_COORDINATOR", "GLAM_PROCESSES", "GLAM_PROCESS", "JAX_NUM_CPU_DEVICES")
print(json.dumps([os.environ.get(name) for name in names]))
"""
# Says that it is up, then waits to be told to stop.
PATIENT = """
import signal, sys, time
def stop(kind, _):
    print("got", signal.Signals(kind).name, flush=True)
    sys.exit(CODE)
signal.signal(signal.SIGTERM, stop)
signal.signal(signal.SIGINT, stop)
print("up", flush=True)
time.sleep(60)
"""


def local(tmp_path, source, *options, processes=2):
    options = (f"--processes={processes}", f"--logs={tmp_path}", *options)
    return bash("local_multiprocess.sh", *options, "--", sys.executable, "-c", source)


def log(tmp_path, process):
    return (tmp_path / f"process{process}.log").read_text()


def test_each_process_knows_its_place(tmp_path):
    done = local(tmp_path, VARIABLES, "--devices=4", processes=3)
    assert (done.returncode, done.stderr) == (0, "")
    told = [json.loads(log(tmp_path, process)) for process in range(3)]
    assert [process for _, _, process, _ in told] == ["0", "1", "2"]
    assert {(count, devices) for _, count, _, devices in told} == {("3", "4")}
    (coordinator,) = {coordinator for coordinator, *_ in told}
    assert coordinator.startswith("127.0.0.1:") and coordinator in done.stdout


def test_without_devices_jax_is_left_alone(tmp_path):
    local(tmp_path, "import os; print('JAX_NUM_CPU_DEVICES' in os.environ)", processes=1)
    assert log(tmp_path, 0) == "False\n"


def test_the_first_failure_is_the_exit_status(tmp_path):
    source = (
        "import os, sys, time; i = int(os.environ['GLAM_PROCESS']); "
        "time.sleep((1.5, 0, 0)[i]); sys.exit((4, 7, 0)[i])"
    )
    done = local(tmp_path, source, processes=3)
    assert done.returncode == 7
    lines = done.stderr.splitlines()
    assert lines[0] == f"process 1 ended with status 7, see {tmp_path}/process1.log"
    assert lines[1] == f"process 0 ended with status 4, see {tmp_path}/process0.log"


def test_those_left_behind_by_a_failure_are_stopped(tmp_path):
    # Process 1 does not even listen to SIGTERM.
    source = (
        "import os, signal, sys, time; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "if os.environ['GLAM_PROCESS'] == '0': time.sleep(0.5); sys.exit(3)\n"
        "time.sleep(60)"
    )
    started = time.monotonic()
    done = local(tmp_path, source, "--grace=1")
    assert done.returncode == 3
    assert time.monotonic() - started < 30
    assert "process 0 failed, 1 still running: SIGTERM to them" in done.stderr
    assert "process 1 ended with status 137" in done.stderr


@pytest.mark.parametrize(("kind", "code"), [(signal.SIGTERM, 0), (signal.SIGINT, 5)])
def test_signals_reach_every_process(tmp_path, kind, code):
    source = PATIENT.replace("CODE", str(code))
    # What a shell runs in the background, perhaps these tests, is started deaf to Ctrl-C.
    command = ["env", "--default-signal=INT", "bash", "launch/local_multiprocess.sh"]
    command += ["--processes=2", f"--logs={tmp_path}", "--", sys.executable, "-c", source]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    deadline = time.monotonic() + 30
    logs = [tmp_path / f"process{process}.log" for process in range(2)]
    while not all(path.exists() and "up" in path.read_text() for path in logs):
        assert time.monotonic() < deadline and running.poll() is None
        time.sleep(0.05)
    running.send_signal(kind)
    running.communicate(timeout=30)
    assert running.returncode == code
    assert [path.read_text() for path in logs] == [f"up\ngot {kind.name}\n"] * 2


SHARE = """
import os, time
from glam_jax import files
process = os.environ["GLAM_PROCESS"]
files.write_text(f"gs://bucket/a/{process}.txt", "from " + process)
while not files.path(other := f"gs://bucket/a/{1 - int(process)}.txt").exists():
    time.sleep(0.1)
print(files.read_text(other))
"""


def test_processes_share_a_bucket_that_stays(tmp_path):
    path = f"{pathlib.Path(sys.executable).parent}:{os.environ['PATH']}"
    options = ["--processes=2", f"--bucket={tmp_path / 'kept'}", f"--logs={tmp_path}", "--"]
    command = [*options, "python", "-c", SHARE]
    done = bash("local_multiprocess.sh", *command, env=os.environ | {"PATH": path})
    assert (done.returncode, done.stderr) == (0, "")
    assert [log(tmp_path, process) for process in range(2)] == ["from 1\n", "from 0\n"]
    source = 'from glam_jax import files; print(len(files.find("gs://bucket/a", "*.txt")))'
    command = [*options, "python", "-c", source]
    bash("local_multiprocess.sh", *command, env=os.environ | {"PATH": path})
    assert log(tmp_path, 0) == "2\n"
