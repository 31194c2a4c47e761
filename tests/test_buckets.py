"""Folders in a bucket are whole or not there, and each machine has one checked copy of them."""

import http.server
import os
import subprocess
import sys
import threading

import bucket_server
import chex
import jax
import numpy as np
import pytest
import train_lives
from nursery import KILLED, Nursery

from glam_jax import buckets, files
from glam_jax.buckets import MARKER, BucketError
from glam_jax.experiment.workdir import Workdir
from glam_jax.runtime import checkpoint, metrics


@pytest.fixture
def place(gcs, request):
    """A folder in the bucket of each test's own."""
    return files.path(f"{gcs}/{request.node.name.replace('[', '_').replace(']', '')}")


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    """Where copies of folders lie."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setattr(buckets, "_used", {})
    return tmp_path / "cache" / "glam_jax" / "data"


def put(folder, **texts):
    with files.folder_beside(folder, inside="x") as new:
        for name, text in texts.items():
            files.write_text(new / "x" / name, text)


def read(folder):
    """File -> text of a folder's copy on this machine."""
    here = files.local_folder(folder)
    return {p.name: p.read_text() for p in here.iterdir() if p.name != MARKER}


def copies(cache):
    return sorted(p for p in cache.iterdir() if p.is_dir())


# --- Names ------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["gs:/bucket/run", "gcs://bucket/run", "http://a/b", "gs:bucket"])
def test_what_is_almost_a_bucket_is_refused(text):
    with pytest.raises(BucketError, match=f"'{text}': expected gs://BUCKET/FOLDER"):
        files.path(text)


def test_a_bucket_that_is_not_there_is_named(gcs):
    with pytest.raises(BucketError, match="^gs://other: there is no such bucket$"):
        files.path("gs://other/run")
    with pytest.raises(BucketError, match="the name of the bucket is missing"):
        files.path("gs://")


@pytest.mark.parametrize(("url", "library"), [("gs://a", "gcsfs"), ("s3://a", "s3fs")])
def test_without_the_packages_they_are_named(url, library):
    hidden = f"import sys; sys.modules['{library}'] = None; from glam_jax import files"
    command = [sys.executable, "-c", f"{hidden}; files.path('{url}')"]
    done = subprocess.run(command, capture_output=True, text=True)
    extra = {"gcsfs": "gcs"}.get(library, "s3")
    assert f'{url}: packages are missing: pip install "glam_jax[{extra}]"' in done.stderr


class Closed(http.server.BaseHTTPRequestHandler):
    """A server that lets nobody in."""

    def do_GET(self):
        self.send_error(401, "Anonymous caller does not have storage.objects.list access")

    def log_message(self, *_):
        pass


def test_without_credentials_one_line_says_how_to_log_in():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Closed) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        url = f"http://127.0.0.1:{server.server_port}"
        source = "from glam_jax import files; files.path('gs://closed/run')"
        told = os.environ | {"STORAGE_EMULATOR_HOST": url}
        command = [sys.executable, "-c", source]
        done = subprocess.run(command, env=told, capture_output=True, text=True)
        server.shutdown()
    line = done.stderr.splitlines()[-1]
    assert "BucketError: gs://closed: the bucket cannot be read (" in line
    assert "gcloud auth application-default login" in line


def test_a_path_seen_from_another(gcs, tmp_path):
    assert files.below(tmp_path, "../a") == files.path(tmp_path / "../a")
    assert str(files.absolute(files.below(f"{gcs}/runs/b", "../a"))) == f"{gcs}/runs/a"
    assert str(files.below(tmp_path, f"{gcs}/a")) == f"{gcs}/a"
    assert str(files.below(f"{gcs}/runs", "/a")) == "/a"


# --- Files and folders ------------------------------------------------------------------


def test_files_are_written_listed_read_and_removed(place):
    files.write_json(place / "a" / "info.json", {"a": 1})
    files.write_text(place / "b.txt", "b")
    assert files.read_json(place / "a" / "info.json") == {"a": 1}
    assert files.find(place) == [place / "a", place / "b.txt"]
    assert files.find(place, "*/*.json") == [place / "a" / "info.json"]
    files.move(place / "a", place / "c")
    files.remove(place / "b.txt")
    assert files.find(place) == [place / "c"]
    with pytest.raises(FileNotFoundError):
        files.read_text(place / "b.txt")
    files.remove(place)
    files.remove(place)
    assert not place.exists()


def test_a_folder_is_replaced_as_a_whole(place):
    put(place / "a", one="1", both="1")
    put(place / "a", two="2", both="2")
    assert read(place / "a") == {"two": "2", "both": "2"}
    with pytest.raises(RuntimeError), files.folder_beside(place / "a"):
        raise RuntimeError
    assert read(place / "a") == {"two": "2", "both": "2"}
    assert files.find(place) == [place / "a"]


def test_amazons_buckets_are_the_same():
    with bucket_server.amazon():
        place = files.path("s3://bucket/a")
        files.write_json(place / "info.json", {"a": 1})
        assert files.read_json(place / "info.json") == {"a": 1}
        put(place / "f", one="1", both="1")
        put(place / "f", two="2", both="2")
        assert read(place / "f") == {"two": "2", "both": "2"}
        assert files.find(place) == [place / "f", place / "info.json"]
        with pytest.raises(BucketError, match="^s3://other: there is no such bucket$"):
            files.path("s3://other/run")
        with pytest.raises(checkpoint.CheckpointError, match="data may be there"):
            Workdir(place / "run")


class Killed(BaseException):
    pass


def test_killed_anywhere_a_folder_is_the_old_or_the_new_one(place, monkeypatch):
    """After each of its calls to the bucket in turn, writing ends; then it starts anew."""
    system, left = buckets.system(place), [0]

    def count(call):
        def counted(*arguments, **kwargs):
            if not left[0]:
                raise Killed
            left[0] -= 1
            return call(*arguments, **kwargs)

        return counted

    for name in ("put", "copy", "rm", "open", "put_file", "cp_file"):
        monkeypatch.setattr(system, name, count(getattr(system, name)))
    old, new, ends = {"a": "old", "b": "old"}, {"a": "new", "c": "new"}, set()
    for calls in range(40):
        left[0] = 1000
        put(place / "f", **old)
        left[0] = calls
        try:
            put(place / "f", **new)
        except Killed:
            left[0] = 1000
            before = read(place / "f")
            assert before in (old, new)
            files.recover(place / "f")
            assert read(place / "f") == before
            assert files.find(place) == [place / "f"]
            ends.add(before["a"])
        else:
            break
    else:
        raise AssertionError("it never came to its end")
    assert ends == {"old", "new"}


def test_what_is_not_whole_is_refused(place):
    put(place / "a", one="1", two="2")
    (place / "a" / MARKER).unlink()
    with pytest.raises(BucketError, match=f"a is not whole: it has no {MARKER}"):
        read(place / "a")
    put(place / "b", one="1", two="2")
    (place / "b" / "two").unlink()
    with pytest.raises(BucketError, match="b is not whole: .*two.* is missing"):
        read(place / "b")
    put(place / "c", one="1", two="2")
    files.write_text(place / "c" / "two", "3")
    with pytest.raises(BucketError, match=f"two is damaged: it is not what {MARKER} says"):
        read(place / "c")
    with pytest.raises(BucketError, match="is not whole"):
        read(place / "none")


# --- The cache --------------------------------------------------------------------------


def test_a_copy_is_made_once_and_found_by_what_is_in_it(place, cache):
    put(place / "a", one="1")
    put(place / "b", one="1")
    here = files.local_folder(place / "a")
    os.utime(here / "one", (1, 1))
    assert files.local_folder(place / "b") == here and copies(cache) == [here]
    buckets._used.clear()  # as in another process
    assert files.local_folder(place / "a") == here and (here / "one").stat().mtime == 1
    put(place / "a", one="2")
    assert read(place / "a") == {"one": "2"} and len(copies(cache)) == 2


def test_the_oldest_copies_go_first_but_none_that_is_in_use(place, cache, monkeypatch):
    for name in "abc":
        put(place / name, one=name * 1000)
    made = {name: files.local_folder(place / name) for name in "ab"}
    os.utime(made["a"], (1, 1))
    for name in "b":  # its process has ended
        os.close(buckets._used.pop(made[name].name))
    monkeypatch.setenv("GLAM_CACHE_GB", "2e-6")
    kept = files.local_folder(place / "c")
    assert copies(cache) == sorted([made["a"], kept])


# --- Runs -------------------------------------------------------------------------------


def learnt(folder):
    with checkpoint.Checkpoints(folder / "checkpoints") as checkpoints:
        state = checkpoints.restore_latest(jax.eval_shape(train_lives.make_state))
    return jax.device_get(state), metrics.read_metrics(folder)["loss"]


@pytest.mark.slow
def test_killed_in_a_bucket_a_run_ends_as_on_a_disk(place, tmp_path, request):
    """--bucket_kills=N: so many kills, at random moments, many of them in a save."""
    kills, rng, nursery = request.config.getoption("--bucket_kills"), np.random.default_rng(0), None
    try:
        nursery = Nursery()
        assert nursery.run(tmp_path / "disk") == [0]
        whole, runs = learnt(files.path(tmp_path / "disk")), 0
        while kills > 0:
            folder, fall = place / str(runs), [int(rng.integers(0, 12)), rng.uniform(0.0, 0.3)]
            (status,) = nursery.run(folder, falls={0: fall}, logs=tmp_path)
            assert status in (0, KILLED), (tmp_path / "process0.log").read_text()
            kills -= status == KILLED
            if status == 0 or kills == 0:
                assert nursery.run(folder, logs=tmp_path) == [0]
                chex.assert_trees_all_equal(learnt(folder), whole)
                runs += 1
    finally:
        nursery.close()


@pytest.mark.slow
def test_two_processes_train_in_a_bucket(place, tmp_path):
    nursery = Nursery()
    try:
        assert nursery.run(tmp_path / "disk", processes=2) == [0, 0]
        whole = learnt(files.path(tmp_path / "disk"))
        killed, _ = nursery.run(place, processes=2, falls={0: [9, 0.1]}, logs=tmp_path)
        assert killed == KILLED
        assert nursery.run(place, processes=2, logs=tmp_path) == [0, 0]
        chex.assert_trees_all_equal(learnt(place), whole)
    finally:
        nursery.close()
