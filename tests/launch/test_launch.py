"""Launch scripts: what a dry run prints, what is refused."""

import re

import pytest
import yaml
from launching import ROOT, SCRIPTS, bash, program

JAX = re.search(r"^jax==(.*)$", (ROOT / "requirements.txt").read_text(), re.MULTILINE)[1]
CONFIG = "--config=configs/lifting.py:scale=quick"
STUDY = "--config=configs/studies/main_table.py"
POD = ("--name=pod", "--zone=us-west4-a")
RUN = ("--", CONFIG, "--workdir=/shared/a b")
GKE = ("--name=lifting", "--image=r/p/i:tpu", "--claim=disk", "--topology=2x4")

CREATE = (
    "gcloud compute tpus queued-resources create pod --node-id=pod --accelerator-type=v6e-8"
    " --runtime-version=v2-alpha-tpuv6e --zone=us-west4-a --spot"
)
DELETE = "gcloud compute tpus queued-resources delete pod --zone=us-west4-a --force --quiet"
SSH = "gcloud compute tpus tpu-vm ssh pod --zone=us-west4-a --worker=all"
UNPACK = "rm -rf glam_jax && mkdir glam_jax && tar -xzf glam_jax.tar.gz -C glam_jax"
SETUP = f"""\
git archive --format=tar.gz --output=glam_jax.tar.gz HEAD
gcloud compute tpus tpu-vm scp glam_jax.tar.gz pod:glam_jax.tar.gz --zone=us-west4-a --worker=all
{SSH} '--command={UNPACK} && bash glam_jax/launch/tpu_worker.sh setup --nfs=10.0.0.2:/share'"""
BUCKET = "--bucket=gs://robots/lab"
KEPT = "--config.data.root=gs://robots/lab/data"
START = (
    f"{SSH} '--command=bash glam_jax/launch/tpu_worker.sh start {CONFIG}"
    r" '\''--workdir=/shared/a b'\'''"
)

DRY_RUNS = [
    (
        "local_multiprocess.sh",
        ("--processes=2", "--devices=3", "--port=5000", "--", "python", "-c", "print('a b')"),
        r"""
GLAM_COORDINATOR=127.0.0.1:5000 GLAM_PROCESSES=2 GLAM_PROCESS=0 JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=3 python -c 'print('\''a b'\'')' >logs/process0.log 2>&1
GLAM_COORDINATOR=127.0.0.1:5000 GLAM_PROCESSES=2 GLAM_PROCESS=1 JAX_PLATFORMS=cpu JAX_NUM_CPU_DEVICES=3 python -c 'print('\''a b'\'')' >logs/process1.log 2>&1
""",  # noqa: E501
    ),
    (
        "local_multiprocess.sh",
        ("--processes=1", "--bucket=here", "--", "python", "--workdir=gs://bucket/run"),
        """
fake-gcs-server -filesystem-root here
GLAM_COORDINATOR=127.0.0.1:PORT GLAM_PROCESSES=1 GLAM_PROCESS=0 STORAGE_EMULATOR_HOST=http://127.0.0.1:PORT TENSORSTORE_GCS_HTTP_URL=http://127.0.0.1:PORT python --workdir=gs://bucket/run >logs/process0.log 2>&1
""",  # noqa: E501
    ),
    (
        "slurm_train.sbatch",
        (CONFIG, "--python=/envs/glam/bin/python"),
        f"\nsrun --kill-on-bad-exit=1 /envs/glam/bin/python -m glam_jax.train {CONFIG}\n",
    ),
    (
        "slurm_study_array.sbatch",
        ("--shards=2", STUDY),
        f"""
srun --kill-on-bad-exit=1 python -m glam_jax.study {STUDY} --shard=1/2
srun --kill-on-bad-exit=1 python -m glam_jax.study {STUDY} --shard=2/2
""",
    ),
    (
        "one_gpu.sh",
        ("--jobs=2", "--minutes=14", STUDY),
        f"""
nvidia-cuda-mps-control -d
XLA_PYTHON_CLIENT_PREALLOCATE=false python -m glam_jax.study {STUDY} >logs/job1.log 2>&1 &
XLA_PYTHON_CLIENT_PREALLOCATE=false python -m glam_jax.study {STUDY} >logs/job2.log 2>&1 &
after 14 minutes: SIGTERM to the jobs
wait
echo quit | nvidia-cuda-mps-control
python -m glam_jax.study {STUDY} --norun
""",
    ),
    ("tpu_pod.sh", ("create", *POD, "--type=v6e-8", "--spot"), f"\n{CREATE}\n"),
    ("tpu_pod.sh", ("setup", *POD, "--nfs=10.0.0.2:/share"), f"\n{SETUP}\n"),
    ("tpu_pod.sh", ("setup", *POD), f"\n{SETUP.replace(' --nfs=10.0.0.2:/share', '')}\n"),
    ("tpu_pod.sh", ("run", *POD, *RUN), f"\n{START}\n"),
    (
        "tpu_pod.sh",
        ("run", *POD, BUCKET, "--", CONFIG),
        f"\n{SSH} '--command=bash glam_jax/launch/tpu_worker.sh start {CONFIG}"
        f" {KEPT} --workdir=gs://robots/lab/runs/pod'\n",
    ),
    (
        "tpu_pod.sh",
        ("run", *POD, BUCKET, "--", CONFIG, "--workdir=gs://robots/a", "--config.data.root=gs://b"),
        f"\n{SSH} '--command=bash glam_jax/launch/tpu_worker.sh start {CONFIG}"
        " --workdir=gs://robots/a --config.data.root=gs://b'\n",
    ),
    (
        "tpu_pod.sh",
        ("logs", *POD),
        f"\n{SSH} '--command=echo == $(hostname)"
        " && bash glam_jax/launch/tpu_worker.sh logs | tail -n 50'\n",
    ),
    (
        "tpu_pod.sh",
        ("logs", *POD, "--fetch=pod_logs"),
        f"""
mkdir -p pod_logs
{SSH} '--command=bash glam_jax/launch/tpu_worker.sh logs' --output-directory=pod_logs
""",
    ),
    (
        "tpu_pod.sh",
        ("watch", *POD, "--type=v6e-8", "--spot", "--nfs=10.0.0.2:/share", "--delete-when-done")
        + RUN,
        f"""
every 60 s:
gcloud compute tpus queued-resources describe pod --zone=us-west4-a '--format=value(state.state)'
if there is none:
{CREATE}
if it is SUSPENDED (preempted) or FAILED:
{DELETE}
{CREATE}
if it is ACTIVE and not set up:
{SETUP}
{START}
if it is ACTIVE and the training was stopped, lost or failed:
{START}
once the training is done:
{DELETE}
""",
    ),
    ("tpu_pod.sh", ("delete", *POD), f"\n{DELETE}\n"),
    (
        "tpu_worker.sh",
        ("setup", "--nfs=10.0.0.2:/share"),
        f"""
sudo apt-get install -y -q -o DPkg::Lock::Timeout=600 tmux python3-pip nfs-common
sudo mkdir -p /shared
sudo mount -t nfs 10.0.0.2:/share /shared
env PIP_BREAK_SYSTEM_PACKAGES=1 python3 -m pip install --user --quiet uv
python3 -m uv venv --quiet --allow-existing --python=3.11 /home/me/glam_venv
python3 -m uv pip install --quiet --python=/home/me/glam_venv/bin/python -r requirements.txt 'jax[tpu]=={JAX}'
python3 -m uv pip install --quiet --python=/home/me/glam_venv/bin/python --no-deps -e .
""",  # noqa: E501
    ),
    (
        "tpu_worker.sh",
        ("start", CONFIG),
        f"\ntmux new-session -d -s glam 'bash launch/tpu_worker.sh work {CONFIG}'\n",
    ),
    (
        "gke_jobset.sh",
        (*GKE, "--slices=2", *RUN),
        f"""
kubectl create --filename=- <<'END'
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
metadata:
  name: lifting
  annotations:
    # Each slice gets a node pool to itself.
    alpha.jobset.sigs.k8s.io/exclusive-topology: cloud.google.com/gke-nodepool
spec:
  # All pods start anew when one fails or its node is taken; the training continues where it saved.
  failurePolicy:
    maxRestarts: 50
  replicatedJobs:
    - name: slice
      replicas: 2
      template:
        spec:
          completionMode: Indexed
          parallelism: 2
          completions: 2
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              serviceAccountName: default
              terminationGracePeriodSeconds: 300
              nodeSelector:
                cloud.google.com/gke-tpu-accelerator: tpu-v5-lite-podslice
                cloud.google.com/gke-tpu-topology: 2x4
              containers:
                - name: train
                  image: r/p/i:tpu
                  command: [bash, launch/container_entry.sh, python, -m, glam_jax.train, --distributed=auto, "{CONFIG}", "--workdir=/shared/a b"]
                  resources:
                    requests:
                      google.com/tpu: 4
                    limits:
                      google.com/tpu: 4
                  volumeMounts:
                    - name: shared
                      mountPath: /shared
              volumes:
                - name: shared
                  persistentVolumeClaim:
                    claimName: disk
END
""",  # noqa: E501
    ),
    (
        "container_entry.sh",
        ("python", "-m", "glam_jax.train"),
        "\npython -m glam_jax.train # 75 instead of 0 after SIGTERM\n",
    ),
]


@pytest.mark.parametrize(("script", "arguments", "expected"), DRY_RUNS)
def test_a_dry_run_prints_and_does_nothing(script, arguments, expected, tmp_path):
    for name in ("gcloud", "kubectl", "srun", "tmux", "sudo"):
        program(tmp_path, name, f"touch {tmp_path}/called")
    first = 1 if script == "tpu_pod.sh" else 0
    arguments = (*arguments[:first], "--dry-run", *arguments[first:])
    path = f"{tmp_path}:/usr/bin:/bin"
    done = bash(script, *arguments, env={"PATH": path, "HOME": "/home/me"})
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout == expected[1:]
    assert not (tmp_path / "called").exists()


def test_every_script_has_a_dry_run():
    assert sorted({script for script, _, _ in DRY_RUNS}) == SCRIPTS


def test_the_manifest_holds_the_arguments_as_they_were():
    odd = "--config.note=\"a\\b\" & 'c' @NAME@: #"
    done = bash("gke_jobset.sh", *GKE, "--spot", "--dry-run", *RUN, odd)
    manifest = yaml.safe_load("\n".join(done.stdout.splitlines()[1:-1]))
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    assert pod["containers"][0]["command"][-1] == odd
    assert pod["nodeSelector"]["cloud.google.com/gke-spot"] == "true"
    assert [toleration["operator"] for toleration in pod["tolerations"]] == ["Exists"]


def test_a_bucket_takes_the_place_of_the_volume():
    given = [word for word in GKE if not word.startswith("--claim")]
    options = [BUCKET, "--account=trainer", "--dry-run", "--", CONFIG]
    done = bash("gke_jobset.sh", *given, *options)
    manifest = yaml.safe_load("\n".join(done.stdout.splitlines()[1:-1]))
    pod = manifest["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["command"][-3:] == [CONFIG, KEPT, "--workdir=gs://robots/lab/runs/lifting"]
    assert pod["serviceAccountName"] == "trainer"
    assert "volumes" not in pod and "volumeMounts" not in container


WRONG = [
    ("one_gpu.sh", "--jobs=2", "--config=FILE is missing"),
    ("one_gpu.sh", f"--jobs=0 {STUDY}", "--jobs is '0'; expected a whole number from 1 to 64"),
    ("one_gpu.sh", f"--norun {STUDY}", "'--norun' is this script's part"),
    ("local_multiprocess.sh", "-- true", "--processes=N is missing (see --help)"),
    ("local_multiprocess.sh", "--processes=0 -- true", "expected a whole number from 1 to 256"),
    ("local_multiprocess.sh", "--processes=2 --port=80 -- true", "--port is '80'"),
    ("local_multiprocess.sh", "--processes=2 --device=2 -- true", "unknown argument '--device=2'"),
    ("local_multiprocess.sh", "--processes=2", "no command; it follows after --"),
    ("local_multiprocess.sh", "--processes=1 --bucket=gs://a -- true", "expected a folder here"),
    ("local_multiprocess.sh", "--processes=1 --bucket=a -- true", "needs fake-gcs-server: pip"),
    ("slurm_train.sbatch", "--dry-run", "--config=FILE is missing"),
    ("slurm_train.sbatch", CONFIG, "not in a SLURM job"),
    ("slurm_train.sbatch", f"{CONFIG} --distributed=auto", "this script's part"),
    ("slurm_study_array.sbatch", STUDY, "not in a SLURM array"),
    ("slurm_study_array.sbatch", f"{STUDY} --dry-run", "needs --shards=N"),
    ("slurm_study_array.sbatch", f"{STUDY} --shards=two", "--shards is 'two'"),
    ("slurm_study_array.sbatch", f"{STUDY} --shard=1/2", "this script's part"),
    ("tpu_pod.sh", "make", "'make' is none of create, setup, run, logs, watch, delete"),
    ("tpu_pod.sh", "setup --name=Pod --zone=us-west4-a", "--name is 'Pod'"),
    ("tpu_pod.sh", "setup --name=pod --zone=west", "--zone is 'west'"),
    ("tpu_pod.sh", f"setup {' '.join(POD)} --nfs=share", "--nfs is 'share'"),
    ("tpu_pod.sh", f"create {' '.join(POD)} --yes", "--type is ''"),
    ("tpu_pod.sh", f"create {' '.join(POD)} --type=v9-8 --yes", "give --runtime=VERSION"),
    ("tpu_pod.sh", f"create {' '.join(POD)} --type=v6e-8", "say --yes, or look first"),
    ("tpu_pod.sh", f"delete {' '.join(POD)}", "say --yes, or look first"),
    ("tpu_pod.sh", f"run {' '.join(POD)} -- {CONFIG}", "--workdir=/FOLDER"),
    ("tpu_pod.sh", f"run {' '.join(POD)} {BUCKET}", "--config=FILE"),
    ("tpu_pod.sh", f"run {' '.join(POD)} --bucket=gs:/a", "expected gs://BUCKET"),
    ("tpu_pod.sh", f"watch {' '.join(POD)} {BUCKET} --nfs=a:/b", "one is enough"),
    ("tpu_pod.sh", f"logs {' '.join(POD)} -- {CONFIG}", "logs takes no arguments after --"),
    ("tpu_worker.sh", "begin", "'begin' is none of setup, start, status, logs, stop"),
    ("tpu_worker.sh", "setup --disk=1", "unknown argument '--disk=1'"),
    ("gke_jobset.sh", f"{' '.join(GKE)} -- {CONFIG} --workdir=/shared/a", "say --yes"),
    ("gke_jobset.sh", f"{' '.join(GKE)} --yes -- {CONFIG}", "--workdir=/shared/FOLDER"),
    ("gke_jobset.sh", f"{' '.join(GKE)} {BUCKET} --yes", "one is enough"),
    ("gke_jobset.sh", "--name=lifting --image=i --yes", "--bucket=gs://BUCKET is missing"),
    ("gke_jobset.sh", f"{' '.join(GKE)} --topology=3x3 --yes", "9 chips"),
    ("gke_jobset.sh", f"{' '.join(GKE)} --image=$(id) --yes", "expected an image"),
    ("container_entry.sh", "", "no command"),
]


@pytest.mark.parametrize(("script", "arguments", "message"), WRONG)
def test_wrong_use_is_one_line_and_does_nothing(script, arguments, message, tmp_path):
    for name in ("gcloud", "kubectl", "srun"):
        program(tmp_path, name, f"touch {tmp_path}/called")
    path = f"{tmp_path}:/usr/bin:/bin"
    done = bash(script, *arguments.split(), env={"PATH": path, "HOME": str(tmp_path)})
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("error: ") and done.stderr.count("\n") == 1
    assert message in done.stderr
    assert not (tmp_path / "called").exists()
