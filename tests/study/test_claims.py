"""Claims: one holder at a time, whatever dies when."""

import concurrent.futures
import dataclasses
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from glam_jax.study import claims


def left_behind(folder, holder, number=1, name="cell", age=0.0):
    """The file of a claim whose holder has gone without a word."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{name}.{number}.claim"
    path.write_text(json.dumps(dataclasses.asdict(holder)))
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def dead_process():
    """A process of this host that has ended."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    return dataclasses.replace(claims.this_process(), pid=ended.pid)


def test_a_claim_is_exclusive_until_it_ends(tmp_path):
    folder = tmp_path / "claims"
    with claims.claim(folder, "cell"):
        assert claims.claim(folder, "cell") is None
        assert claims.holder(folder, "cell") == claims.this_process()
        assert str(os.getpid()) in str(claims.holder(folder, "cell"))
        with claims.claim(folder, "cell_2"):
            pass
    assert claims.holder(folder, "cell") is None and not list(folder.iterdir())
    with claims.claim(folder, "cell"):
        pass


def test_a_claim_ends_with_an_error(tmp_path):
    with pytest.raises(KeyboardInterrupt), claims.claim(tmp_path, "cell"):
        raise KeyboardInterrupt
    assert not list(tmp_path.iterdir())


def test_a_dead_process_of_this_host_is_taken_over_at_once(tmp_path):
    left_behind(tmp_path, dead_process())
    with claims.claim(tmp_path, "cell"):
        assert claims.holder(tmp_path, "cell") == claims.this_process()
        assert claims.claim(tmp_path, "cell") is None
    # The dead one's file stays, so that all still compete for the same next number.
    assert [path.name for path in tmp_path.iterdir()] == ["cell.1.claim"]
    with claims.claim(tmp_path, "cell") as held:
        held.finish()
    assert not list(tmp_path.iterdir())


def test_a_living_process_of_this_host_is_not_however_long_it_slept(tmp_path):
    left_behind(tmp_path, claims.this_process(), age=1e6)
    assert claims.claim(tmp_path, "cell") is None


def test_a_later_process_of_the_same_number_is_another(tmp_path):
    left_behind(tmp_path, dataclasses.replace(claims.this_process(), started="1"))
    with claims.claim(tmp_path, "cell"):
        pass


@pytest.mark.parametrize("age, taken", [(50.0, False), (200.0, True)])
def test_elsewhere_only_silence_tells(tmp_path, age, taken):
    left_behind(tmp_path, claims.Holder("far/pid:[1]", 1, "1"), age=age)
    assert (claims.claim(tmp_path, "cell", stale=100.0) is not None) == taken


@pytest.mark.parametrize("age, taken", [(0.0, False), (200.0, True)])
def test_a_file_cut_short_is_judged_by_its_age(tmp_path, age, taken):
    left_behind(tmp_path, claims.this_process(), age=age).write_text("{")
    then = time.time() - age
    os.utime(tmp_path / "cell.1.claim", (then, then))
    assert (claims.claim(tmp_path, "cell", stale=100.0) is not None) == taken


def test_the_holder_shows_that_it_lives(tmp_path):
    held = claims.claim(tmp_path, "cell", beat=0.01)
    path = tmp_path / "cell.1.claim"
    os.utime(path, (0, 0))
    with held:
        deadline = time.monotonic() + 10
        while path.stat().st_mtime == 0:
            assert time.monotonic() < deadline
            time.sleep(0.01)


def test_who_lost_its_claim_is_told(tmp_path):
    lost = threading.Event()
    with claims.claim(tmp_path, "cell", beat=0.01, on_loss=lost.set):
        left_behind(tmp_path, claims.Holder("far", 1, "1"), number=2)
        assert lost.wait(10)
    # The other's claim is not touched.
    assert [path.name for path in tmp_path.iterdir()] == ["cell.2.claim"]


@pytest.mark.parametrize("abandoned", [False, True])
def test_of_many_one_wins(tmp_path, abandoned):
    if abandoned:
        left_behind(tmp_path, dead_process())
    start = threading.Barrier(16)

    def compete(_):
        start.wait()
        return claims.claim(tmp_path, "cell") is not None

    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(compete, range(16))) == 1


def test_waiting_says_for_whom_and_goes_on(tmp_path):
    said = []
    holding = claims.claim(tmp_path, "cell")
    holding.__enter__()

    def say(line):
        said.append(line)
        holding.__exit__(None, None, None)

    with claims.waiting(tmp_path, "cell", poll=0.01, say=say):
        assert claims.claim(tmp_path, "cell") is None
    assert len(said) == 1 and str(os.getpid()) in said[0]
