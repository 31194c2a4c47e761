"""Jobs at a study's folder: what is done, skipped, left to others, waited for, and survived."""

import concurrent.futures
import pathlib
import subprocess
import sys
import threading
import time

import fake_study
import filelock
import pytest

from glam_jax import files
from glam_jax.runtime.preemption import Preempted
from glam_jax.study import grid, worker

BORROWING = {"mix": {}, "alone": {"world_model_from": "mix"}}


def make(**changes):
    settings = {"quick": True, "tasks": ("lifting",), "methods": ("glam_o",), "seeds": (0, 1)}
    return grid.expand(grid.study("some", **settings | changes))


class Recorder:
    """Does cells like a real run, but for the work, and remembers which."""

    def __init__(self, fails=(), before=lambda cell: None):
        self.did, self._fails, self._before = [], fails, before

    def __call__(self, cell, path):
        self.did.append(cell.name)
        self._before(cell)
        if cell.name in self._fails:
            raise FloatingPointError("loss is nan\nat step 3")
        fake_study.carry_out(cell, path)


def lock(folder, name):
    """Holds what a job holds while it works on a cell, or records a dataset."""
    return files.lock(folder / "locks" / f"{name}.lock").acquire(timeout=0)


def free(folder):
    """Names of the locks of a folder, none of which anybody holds."""
    found = [path.stem for path in sorted((folder / "locks").iterdir())]
    for name in found:
        lock(folder, name).lock.release()
    return found


def work(cells, folder, recorder, wanted=None):
    return worker.work(
        cells if wanted is None else wanted, cells, folder, recorder, poll=0.01, progress=False
    )


def test_every_cell_once_and_none_again(tmp_path):
    cells, first, second = make(methods=("glam_o", "mip")), Recorder(), Recorder()
    names = [cell.name for cell in cells]
    assert work(cells, tmp_path, first).done == first.did == names
    assert work(cells, tmp_path, second).done == names and second.did == []
    assert free(tmp_path) == sorted(names)


def test_a_cell_without_its_measurement_is_done_anew(tmp_path):
    cells = make()
    work(cells, tmp_path, Recorder())
    path = worker.cell_folder(tmp_path, cells[1].name)
    (path / "results.json").unlink()
    again = Recorder()
    work(cells, tmp_path, again)
    assert again.did == [cells[1].name]


def test_what_another_job_does_is_left_to_it(tmp_path):
    cells, job = make(), Recorder()
    with lock(tmp_path, cells[0].name):
        tally = work(cells, tmp_path, job)
    assert job.did == tally.done == [cells[1].name] and tally.elsewhere == [cells[0].name]


def test_lenders_come_first_even_if_they_are_in_no_share(tmp_path):
    cells, job = make(variants=BORROWING, seeds=(0,)), Recorder()
    borrower = [cell for cell in cells if cell.lender]
    assert work(list(reversed(cells)), tmp_path / "a", Recorder()).failed == {}
    work(cells, tmp_path / "b", job, wanted=borrower)
    assert job.did == ["lifting_glam_o_mix_seed0", "lifting_glam_o_alone_seed0"]


def test_a_borrower_waits_for_a_lender_that_another_job_makes(tmp_path):
    cells, job = make(variants=BORROWING, seeds=(0,)), Recorder()
    lender, borrower = cells
    begun = threading.Event()

    def finish():
        with lock(tmp_path, lender.name):
            begun.set()
            time.sleep(0.2)
            fake_study.carry_out(lender, worker.cell_folder(tmp_path, lender.name))

    other = threading.Thread(target=finish)
    other.start()
    assert begun.wait(10)
    tally = work(cells, tmp_path, job)
    other.join()
    assert job.did == [borrower.name] and set(tally.done) == {lender.name, borrower.name}


def test_a_borrower_that_another_job_does_is_not_waited_for(tmp_path):
    cells = make(variants=BORROWING, seeds=(0,))
    fake_study.carry_out(cells[0], worker.cell_folder(tmp_path, cells[0].name))
    with lock(tmp_path, cells[1].name):
        assert work(cells, tmp_path, Recorder()).elsewhere == [cells[1].name]


def test_one_cells_trouble_is_its_own(tmp_path):
    cells = make(variants=BORROWING)
    bad = "lifting_glam_o_mix_seed0"
    job = Recorder(fails=(bad,))
    tally = work(cells, tmp_path, job)
    assert tally.failed == {
        bad: "FloatingPointError: loss is nan",
        "lifting_glam_o_alone_seed0": f"needs the world model of {bad}, which failed",
    }
    assert tally.done == ["lifting_glam_o_mix_seed1", "lifting_glam_o_alone_seed1"]
    error = worker.cell_folder(tmp_path, bad) / worker.ERROR
    assert "Traceback" in error.read_text() and "step 3" in error.read_text()
    # The next start tries again, and forgets the error.
    assert work(cells, tmp_path, Recorder()).failed == {} and not error.exists()


def test_a_stop_lets_go_of_the_cell_and_of_nothing_else(tmp_path):
    cells = make(seeds=(0, 1, 2))

    def stop(cell):
        if cell.seed == 1:
            raise Preempted("stage 1: stopped on request")

    job = Recorder(before=stop)
    with pytest.raises(Preempted):
        work(cells, tmp_path, job)
    assert free(tmp_path) == [cells[0].name, cells[1].name]
    again = Recorder()
    work(cells, tmp_path, again)
    assert again.did == [cells[1].name, cells[2].name]


@pytest.mark.parametrize("sharded", [False, True])
def test_jobs_side_by_side_do_each_cell_once(tmp_path, sharded):
    cells = make(methods=("glam_o", "mip"), variants=BORROWING, seeds=(0, 1, 2))
    job = Recorder(before=lambda cell: time.sleep(0.02))
    shares = [grid.share(cells, f"{k}/4" if sharded else "") for k in range(1, 5)]
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        tallies = list(pool.map(lambda wanted: work(cells, tmp_path, job, wanted), shares))
    assert sorted(job.did) == sorted(cell.name for cell in cells)
    assert not any(tally.failed for tally in tallies)
    for cell in cells:
        if cell.lender:
            assert job.did.index(cell.lender) < job.did.index(cell.name)


JOB = """
import pathlib, sys, time
import fake_study
from glam_jax.study import grid, worker
cells = grid.expand(grid.study(
    "some", quick=True, tasks=("lifting",), methods=("glam_o", "mip"), seeds=(0, 1, 2)))
folder = pathlib.Path(sys.argv[1])

def carry_out(cell, path):
    with open(folder / "did", "a") as did:
        did.write(cell.name + "\\n")
    time.sleep(0.1)
    fake_study.carry_out(cell, path)

print("ready", flush=True)
sys.stdin.readline()
worker.work(cells, cells, folder, carry_out, progress=False)
"""


def start(source, *arguments):
    """A process that has said that it is ready."""
    made = subprocess.Popen(
        [sys.executable, "-c", source, *map(str, arguments)],
        cwd=pathlib.Path(fake_study.__file__).parent,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert made.stdout.readline() == "ready\n"
    return made


@pytest.mark.slow
@pytest.mark.slow
def test_two_processes_do_no_cell_twice(tmp_path):
    jobs = [start(JOB, tmp_path) for _ in range(2)]
    for job in jobs:
        job.stdin.write("go\n")
        job.stdin.close()
    assert [job.wait(60) for job in jobs] == [0, 0]
    did = (tmp_path / "did").read_text().split()
    assert sorted(did) == sorted(
        cell.name for cell in make(methods=("glam_o", "mip"), seeds=(0, 1, 2))
    )


HOLDER = """
import sys, filelock
with filelock.FileLock(sys.argv[1]):
    print("ready", flush=True)
    sys.stdin.readline()
"""


def test_a_killed_jobs_cell_is_taken_over(tmp_path):
    cells = make()
    path = files.make_folder(tmp_path / "locks") / f"{cells[0].name}.lock"
    with start(HOLDER, path) as holder:
        assert work(cells, tmp_path, Recorder()).elsewhere == [cells[0].name]
        holder.kill()
    job = Recorder()
    assert work(cells, tmp_path, job).elsewhere == [] and job.did == [cells[0].name]


def test_who_waits_for_a_recording_says_so_once(tmp_path, monkeypatch, capsys):
    data = {"root": str(tmp_path), "target_episodes": 5}
    (cell,) = make(overrides={"data": data}, seeds=(0,))
    ((key, counts),) = [(k, n) for k, n in worker.needs([cell]).items() if k[2] == "kinova_real"]
    began, end, running = threading.Event(), threading.Event(), []

    def collect(*_):
        running.append(1)
        assert len(running) == 1
        began.set()
        assert end.wait(10)
        running.pop()

    monkeypatch.setattr(worker.simulated, "collect", collect)
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(worker._record, key, counts)]
        assert began.wait(10)
        jobs.append(pool.submit(worker._record, key, counts))
        time.sleep(0.2)
        end.set()
        assert [job.result(10) for job in jobs] == [None, None]
    assert capsys.readouterr().out.count("waiting for lifting_kinova_real_64px") == 1


def test_data_are_recorded_once_with_the_most_that_any_cell_reads():
    variants = {
        "few": {"overrides": {"data": {"target_episodes": 10}}},
        "many": {"overrides": {"data": {"target_episodes": 70, "auxiliary": {"umi": 1}}}},
    }
    cells = make(variants=variants, methods=("glam_o", "unknown"))
    made = cells[0].config()
    assert worker.needs(cells) == {
        (made.data.root, "lifting", "kinova_real", 64): (70, made.data.heldout_episodes),
        (made.data.root, "lifting", "umi", 64): (300, made.data.heldout_episodes),
    }
    assert set(worker.unusable(cells)) == {c.name for c in cells if c.method == "unknown"}


@pytest.mark.parametrize(
    "measure, expected",
    [
        (("policy",), ["record kinova_real 5", "record umi 7", "run"]),
        (("replay",), ["record kinova_real 5", "record umi 7", "stage 1", "replay"]),
        (("policy", "replay"), ["record kinova_real 5", "record umi 7", "run", "replay"]),
    ],
)
def test_a_cell_is_data_then_stages_then_replay(tmp_path, monkeypatch, measure, expected):
    did = []
    data = {"root": str(tmp_path / "data"), "target_episodes": 5, "auxiliary": {"umi": 7}}
    cells = make(measure=measure, overrides={"data": data}, seeds=(0,))

    def collect(task, source, episodes, heldout, image_size, root):
        did.append(f"record {source} {episodes}")
        # Nobody else writes this dataset meanwhile.
        with pytest.raises(filelock.Timeout):
            lock(tmp_path / "data", f"{task}_{source}_{image_size}px")

    monkeypatch.setattr(worker.simulated, "collect", collect)
    monkeypatch.setattr(worker.experiment, "run", lambda config, path: did.append("run"))
    monkeypatch.setattr(worker.experiment, "run_stage1", lambda config, path: did.append("stage 1"))
    monkeypatch.setattr(worker.replay, "replay_sources", lambda workdir, film: did.append("replay"))
    worker.make_carry_out(cells)(cells[0], tmp_path / "cell")
    assert did == expected
