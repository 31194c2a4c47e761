"""Launch scripts of clusters, run for real but for the cluster's own programs, which record."""

import os
import shutil
import signal
import subprocess
import time

import pytest
from launching import LAUNCH, ROOT, SCRIPTS, bash, program

from glam_jax.runtime.preemption import STOPPED

CONFIG = "--config=configs/lifting.py"
STUDY = "--config=configs/studies/main_table.py"
POD = ("--name=pod", "--zone=us-west4-a")


def until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def environment(folder, **variables):
    return {"PATH": f"{folder}:{os.environ['PATH']}", "HOME": str(folder)} | variables


# srun: a step that saves on SIGTERM. scancel: what sends it.
STEP = 'echo $$ >{0}/step; echo "$*" >>{0}/calls; trap "exit {1}" TERM; while :; do sleep 0.1; done'


@pytest.mark.parametrize(
    ("script", "arguments", "step"),
    [
        ("slurm_train.sbatch", [CONFIG], f"glam_jax.train {CONFIG} --distributed=auto"),
        ("slurm_study_array.sbatch", [STUDY], f"glam_jax.study {STUDY} --shard=2/4"),
    ],
)
@pytest.mark.parametrize(("code", "requeued"), [(0, True), (3, False)])
def test_before_the_time_limit_a_job_saves_and_queues_again(
    script, arguments, step, code, requeued, tmp_path
):
    program(tmp_path, "srun", STEP.format(tmp_path, code))
    record = f'echo "$(basename $0) $*" >>{tmp_path}/calls'
    program(tmp_path, "scancel", f"{record}; kill -TERM $(<{tmp_path}/step)")
    program(tmp_path, "scontrol", record)
    job = {"SLURM_JOB_ID": "12", "SLURM_NTASKS": "2"}
    array = {"ID": "2", "MIN": "1", "MAX": "4", "COUNT": "4"}
    job |= {f"SLURM_ARRAY_TASK_{name}": value for name, value in array.items()}
    running = subprocess.Popen(
        ["bash", f"launch/{script}", *arguments],
        cwd=ROOT,
        env=environment(tmp_path, **job),
        stdout=subprocess.DEVNULL,
    )
    until((tmp_path / "calls").exists)
    running.send_signal(signal.SIGUSR1)
    assert running.wait(timeout=30) == code
    expected = [f"--kill-on-bad-exit=1 python -m {step}", "scancel --signal=TERM 12"]
    expected += ["scontrol requeue 12"] if requeued else []
    assert (tmp_path / "calls").read_text().splitlines() == expected


def test_a_job_that_ends_by_itself_keeps_its_status(tmp_path):
    program(tmp_path, "srun", "exit 9")
    program(tmp_path, "scontrol", f"touch {tmp_path}/requeued")
    done = bash("slurm_train.sbatch", CONFIG, env=environment(tmp_path, SLURM_JOB_ID="12"))
    assert done.returncode == 9 and not (tmp_path / "requeued").exists()


@pytest.mark.parametrize(
    ("array", "options", "shard"),
    [
        (dict(ID="3", MIN="1", MAX="8", COUNT="8"), [], "--shard=3/8"),
        (dict(ID="3", MIN="3", MAX="3", COUNT="1"), ["--shards=8"], "--shard=3/8"),
        (dict(ID="3", MIN="3", MAX="3", COUNT="1"), [], "the array is not 1-N"),
        (dict(ID="0", MIN="0", MAX="7", COUNT="8"), ["--shards=8"], "array task 0 of 8"),
    ],
)
def test_array_tasks_become_shards(array, options, shard, tmp_path):
    variables = {f"SLURM_ARRAY_TASK_{name}": value for name, value in array.items()}
    env = environment(tmp_path, **variables)
    done = bash("slurm_study_array.sbatch", "--dry-run", STUDY, *options, env=env)
    assert shard in (done.stdout or done.stderr)


def test_tasks_and_gpus_of_a_node_agree(tmp_path):
    env = environment(tmp_path, SLURM_NTASKS_PER_NODE="1", SLURM_GPUS_ON_NODE="4")
    done = bash("slurm_train.sbatch", "--dry-run", CONFIG, env=env)
    assert "--ntasks-per-node=4 --gpus-per-node=4" in done.stderr and done.returncode == 2


@pytest.mark.parametrize(("code", "asked", "status"), [(0, True, 75), (3, True, 3), (3, False, 3)])
def test_a_pod_told_to_stop_does_not_look_done(code, asked, status):
    wait = "while :; do sleep 0.1; done" if asked else f"exit {code}"
    source = f'trap "exit {code}" TERM; echo up; {wait}'
    command = ["bash", "launch/container_entry.sh", "bash", "-c", source]
    running = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    running.stdout.readline()
    if asked:
        running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == status


# A study's job that saves on SIGTERM, and its report.
JOB = """
case "$*" in
  *--norun) echo report >>{0}/calls ;;
  *)
    trap "echo saved >>{0}/calls; exit {1}" TERM
    echo job >>{0}/calls
    while :; do sleep 0.1; done ;;
esac
"""


@pytest.mark.parametrize("code", [0, 3])
def test_jobs_of_one_gpu_save_together_and_the_report_is_made(code, tmp_path):
    program(tmp_path, "nvidia-cuda-mps-control", f"echo mps $* >>{tmp_path}/calls; cat >/dev/null")
    python = program(tmp_path, "job", JOB.format(tmp_path, code))
    command = ["bash", "launch/one_gpu.sh", STUDY, "--jobs=3", f"--python={python}"]
    running = subprocess.Popen(
        [*command, f"--logs={tmp_path / 'logs'}"],
        cwd=ROOT,
        env=environment(tmp_path),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    calls = tmp_path / "calls"
    until(lambda: calls.exists() and calls.read_text().count("job") == 3)
    running.send_signal(signal.SIGTERM)
    assert running.wait(timeout=30) == code
    expected = ["mps -d", *3 * ["job"], *3 * ["saved"], "report", "mps"]
    assert calls.read_text().splitlines() == expected
    assert len(list((tmp_path / "logs").iterdir())) == 3


GCLOUD = """
# Answers from the first line of `answers`, if the call asks; writes down what changes something.
case "$*" in
  *"queued-resources describe"*) kind=state ;;
  *"tpu_worker.sh status"*) kind=status ;;
  *"queued-resources create"*) echo create >>{0}/calls ;;
  *"queued-resources delete"*) echo delete >>{0}/calls ;;
  *" scp "*) echo copy >>{0}/calls ;;
  *"tpu_worker.sh setup"*) echo setup >>{0}/calls ;;
  *"tpu_worker.sh start"*) echo start >>{0}/calls ;;
esac
[[ -z "${{kind:-}}" ]] || {{
  read -r answer <{0}/answers
  sed -i 1d {0}/answers
  if [[ "$kind" == status ]]; then for word in $answer; do echo "glam-status: $word"; done
  elif [[ "$answer" == NOT_FOUND ]]; then echo "ERROR: NOT_FOUND: no such" >&2; exit 1
  else echo "$answer"; fi
}}
"""


def watch(tmp_path, answers, *options):
    program(tmp_path, "gcloud", GCLOUD.format(tmp_path))
    (tmp_path / "answers").write_text("\n".join(answers) + "\n")
    (tmp_path / "calls").touch()
    arguments = [*POD, "--type=v6e-8", "--spot", "--yes", "--interval=0", *options]
    arguments += ["--", CONFIG, "--workdir=/shared/a"]
    done = bash("tpu_pod.sh", "watch", *arguments, env=environment(tmp_path))
    return done, (tmp_path / "calls").read_text().split()


def test_watch_brings_a_training_through_preemptions(tmp_path):
    answers = ["NOT_FOUND", "WAITING_FOR_RESOURCES", "PROVISIONING"]
    answers += ["ACTIVE", "absent absent", "ACTIVE", "running running"]
    answers += ["SUSPENDING", "SUSPENDED", "ACTIVE", "absent absent"]
    answers += ["ACTIVE", "stopped done", "ACTIVE", "lost running", "ACTIVE", "done done"]
    done, calls = watch(tmp_path, answers)
    assert done.returncode == 0, done.stderr
    fresh = ["copy", "setup", "start"]
    assert calls == ["create", *fresh, "delete", "create", *fresh, "start", "start"]
    assert "launch/tpu_pod.sh delete --name=pod --zone=us-west4-a --yes" in done.stdout


def test_watch_gives_the_pod_back_only_if_told_so(tmp_path):
    _, calls = watch(tmp_path, ["ACTIVE", "done done"], "--delete-when-done")
    assert calls == ["delete"]


def test_watch_gives_up_on_a_training_that_fails(tmp_path):
    done, calls = watch(tmp_path, ["ACTIVE", "running failed"] * 3, "--max-restarts=2")
    assert done.returncode == 1 and calls == ["start", "start"]
    assert "error: the training failed, see launch/tpu_pod.sh logs, 3 times" in done.stderr


TRAIN = """
echo "$*"
trap 'echo "pretrain: stopped on request. Run folder: a"; exit 0' TERM
until [[ -e {0}/finish ]]; do sleep 0.1; done
exit $(<{0}/finish)
"""


@pytest.mark.skipif(not shutil.which("tmux"), reason="tmux is not installed")
def test_a_worker_starts_stops_and_says_how_it_went(tmp_path):
    program(tmp_path / "venv" / "bin", "python", TRAIN.format(tmp_path))
    variables = {"GLAM_RUN": str(tmp_path / "run"), "GLAM_VENV": str(tmp_path / "venv")}
    env = environment(tmp_path, **variables, TMUX_TMPDIR=str(tmp_path))

    def worker(*arguments):
        done = bash("tpu_worker.sh", *arguments, env=env)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def status():
        return worker("status").split()[-1]

    log = tmp_path / "run" / "log"
    assert status() == "absent"
    worker("start", CONFIG, "--workdir=/shared/a b's")
    until(lambda: log.exists() and "--workdir=/shared/a b's" in log.read_text())
    assert f"-u -m glam_jax.train --distributed=auto {CONFIG} --wor" in worker("logs")
    assert status() == "running"
    worker("stop")
    assert status() == "stopped"
    worker("start", CONFIG)
    assert status() == "running"
    subprocess.run(["tmux", "kill-server"], env=env, check=True)
    until(lambda: status() == "lost")
    for code, word in ((4, "failed"), (0, "done")):
        (tmp_path / "finish").write_text(str(code))
        worker("start", CONFIG)
        until(lambda word=word: status() == word)


def test_workers_know_a_stopped_training_by_what_it_says():
    assert f"/{STOPPED}/" in (LAUNCH / "tpu_worker.sh").read_text()


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_strict_and_clean(script):
    assert "\nset -euo pipefail\n" in (LAUNCH / script).read_text()
    shellcheck = shutil.which("shellcheck")
    if not shellcheck:
        pytest.skip("shellcheck is not installed")
    done = subprocess.run([shellcheck, LAUNCH / script], capture_output=True, text=True)
    assert done.stdout == ""
