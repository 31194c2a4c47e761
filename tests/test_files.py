"""Files: whole or not at all, and nobody but `files` touches them."""

import ast
import json
import pathlib
import tempfile

import filelock
import jax.numpy as jnp
import numpy as np
import pytest

from glam_jax import buckets, files
from glam_jax.errors import DataError

PACKAGE = pathlib.Path(files.__file__).parent

# Calls by which files are opened, listed, renamed, made and removed.
TOUCHES = {
    *("open", "read_text", "read_bytes", "write_text", "write_bytes", "mkdir", "makedirs", "touch"),
    *("glob", "rglob", "iterdir", "listdir", "scandir", "rename", "renames", "unlink", "rmdir"),
    *("rmtree", "expanduser", "memmap", "fromfile", "tofile", "TemporaryFile"),
    *("TemporaryDirectory", "NamedTemporaryFile", "mkdtemp", "mkstemp"),
}
# Names that say so only of a module: `replace` is one of dataclasses too, `save` one of charts.
OF_MODULES = {
    "os": {"replace", "remove", "walk", "stat", "utime"},
    "shutil": {"copy", "copyfile", "copytree", "move"},
    "np": {"save", "savez", "savez_compressed", "load"},
    "pathlib": {"Path", "PosixPath"},
}
# Module, or folder of modules -> the calls it may make, and why.
DOORS = {
    "audit/audit": ({"TemporaryDirectory"}, "pictures on their way into a page"),
    "benchmark/startup": ({"TemporaryDirectory"}, "a compilation cache, gone with the process"),
    "data/spill": ({"TemporaryFile"}, "a file without a name, gone with the process"),
    "demonstrations/partial": ({"savez", "load"}, "a zip file, written to and read from `files`"),
    "models/dinov2": ({"Path", "open", "read_bytes"}, "weights, which their libraries open"),
    "own_data/frame_files": ({"open"}, "PIL, of bytes from `files`"),
    "own_data/images": ({"open"}, "PIL, of bytes from a data file"),
    "own_data/video": ({"open"}, "PyAV, of a local file from `files`"),
    "stages/relabel": ({"save", "load"}, "numpy, of bytes from `files`"),
}


def touches(source: str) -> set[str]:
    """Names of the calls in a source by which files are touched."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
        owner = getattr(getattr(called, "value", None), "id", "")
        if owner == "files":
            continue
        if name in TOUCHES or name in OF_MODULES.get(owner, ()):
            found.add(name)
        if name == "Path" and "from pathlib import Path" in source:
            found.add(name)
    return found


@pytest.mark.parametrize(
    "path", sorted(PACKAGE.rglob("*.py")), ids=lambda p: str(p.relative_to(PACKAGE))
)
def test_nobody_else_touches_files(path):
    name = str(path.relative_to(PACKAGE).with_suffix(""))
    if name in ("buckets", "files") or name.startswith(
        "client/"
    ):  # which is installed without glam_jax
        return
    allowed = set()
    for door, (calls, _) in DOORS.items():
        if name == door or name.startswith(f"{door}/"):
            allowed |= calls
    assert touches(path.read_text()) <= allowed


@pytest.mark.parametrize(
    "source",
    [
        "open('x')",
        "path.write_text('x')",
        "os.replace(a, b)",
        "np.save(path, x)",
        "from pathlib import Path\nPath('x')",
        "with tempfile.TemporaryDirectory() as folder: pass",
    ],
)
def test_a_touch_is_found(source):
    assert touches(source)


def test_what_is_no_touch_is_not():
    assert not touches("files.write_text(p, x)\ndataclasses.replace(a)\ncharts.save(p)\np.exists()")


# --- One file ---------------------------------------------------------------------------


def test_json_takes_arrays_paths_and_what_is_not_finite(tmp_path):
    path = tmp_path / "deep" / "results.json"
    value = {"rate": np.float32(0.5), "counts": jnp.arange(2), "nan": float("nan")}
    files.write_json(path, value | {"at": files.path("/x"), "pair": (1, None)})
    expected = {"rate": 0.5, "counts": [0, 1], "nan": None, "at": "/x", "pair": [1, None]}
    assert files.read_json(path) == expected


def test_a_list_of_numbers_is_one_line_and_no_text_is_touched(tmp_path):
    value = {
        "rows": [[1.5, -2e-07], [0.0, None]],
        "empty": [],
        "words": ["[\n  1,\n  2\n]", "a"],
        "mixed": [1, "b"],
    }
    files.write_json(tmp_path / "a.json", value)
    text = (tmp_path / "a.json").read_text()
    assert json.loads(text) == value
    assert "    [1.5, -2e-07],\n    [0.0, null]\n" in text


def test_a_failed_write_leaves_the_old_file_and_nothing_beside_it(tmp_path):
    path = tmp_path / "results.json"
    files.write_json(path, {"trials": 50})
    with pytest.raises(TypeError):
        files.write_json(path, {"trials": object()})
    with pytest.raises(UnicodeEncodeError):
        files.write_text(path, "\ud800")
    with pytest.raises(RuntimeError), files.beside(path) as new:
        new.write_text("half")
        raise RuntimeError
    assert files.read_json(path) == {"trials": 50}
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


def test_what_is_not_json_is_named(tmp_path):
    (tmp_path / "a.json").write_text('{"a": ')
    with pytest.raises(DataError, match="a.json is not JSON"):
        files.read_json(tmp_path / "a.json")
    (tmp_path / "a.json").write_bytes(b"\xff\xfe")
    with pytest.raises(DataError, match="a.json is not text"):
        files.read_json(tmp_path / "a.json")
    with pytest.raises(FileNotFoundError):
        files.read_json(tmp_path / "b.json")


def test_a_bucket_gets_a_copy_and_gives_one(tmp_path, monkeypatch):
    """As buckets do it, on a disk: libraries write to and read from a file elsewhere."""
    monkeypatch.setattr(files.buckets, "is_in", lambda place: True)
    monkeypatch.setattr(files.buckets, "check", lambda place: None)
    target = tmp_path / "a.txt"
    target.write_text("old")
    with files.beside(target) as new:
        new.write_text("new")
        assert new.parent != files.path(tmp_path) and target.read_text() == "old"
    with files.local(target) as at:
        assert at != files.path(target) and at.read_text() == "new"


def test_a_lock_is_beside_what_it_guards_or_on_this_machine(tmp_path, monkeypatch):
    monkeypatch.setattr(buckets, "_reach", lambda *_: None)  # nothing is read there
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "machine"))
    for place in (tmp_path / "locks" / "a.lock", "gs://bucket/locks/a.lock"):
        with files.lock(place).acquire(timeout=0):
            with pytest.raises(filelock.Timeout):
                files.lock(place).acquire(timeout=0)
            with files.lock(files.path(place).with_name("b.lock")).acquire(timeout=0):
                pass
        with files.lock(place).acquire(timeout=0):
            pass
    (ours,) = (tmp_path / "machine").iterdir()
    assert (ours / "gs" / "bucket" / "locks" / "a.lock").exists()
    assert (tmp_path / "locks" / "a.lock").exists()


def test_paths(monkeypatch):
    monkeypatch.setattr(buckets, "_reach", lambda *_: None)
    monkeypatch.setenv("HOME", "/home/me")
    assert str(files.path("~/runs")) == "/home/me/runs"
    assert str(files.path("gs://bucket/runs") / "a") == "gs://bucket/runs/a"
    assert str(files.absolute("gs://bucket/runs/../a")) == "gs://bucket/a"
    assert str(files.absolute("/runs/../a")) == "/a"


def test_find_is_in_order_and_leaves_out_what_is_not_finished(tmp_path):
    for name in ("b", "a[1]", "c.writing", "d.previous", ".e"):
        files.write_text(tmp_path / name / "info.json", "{}")
    found = files.find(tmp_path, "*/info.json")
    assert [p.parent.name for p in found] == ["a[1]", "b"]
    assert files.find(tmp_path / "a[1]", "*.json") == [found[0]]
    assert files.find(tmp_path / "none") == []


# --- Folders ----------------------------------------------------------------------------


def content(folder):
    return {p.name: [q.name for q in p.iterdir()] for p in folder.iterdir()}


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    for name in ("one", "two"):
        with files.folder_beside(tmp_path / "a", inside="x") as new:
            (new / "x").mkdir()
            (new / "x" / name).write_text(name)
    assert content(tmp_path) == {"a": ["two"]}
    with pytest.raises(RuntimeError), files.folder_beside(tmp_path / "a"):
        raise RuntimeError
    assert content(tmp_path) == {"a": ["two"]}


def test_what_a_kill_left_is_undone(tmp_path):
    for name in ("a.writing", "a.previous"):
        (tmp_path / name).mkdir()
        (tmp_path / name / name).touch()
    assert files.earlier(tmp_path / "a").name == "a.previous"
    files.recover(tmp_path / "a")
    assert content(tmp_path) == {"a": ["a.previous"]}
    assert files.earlier(tmp_path / "a") is None


def test_remove_takes_files_folders_and_nothing(tmp_path):
    files.write_text(tmp_path / "a" / "b", "")
    for name in ("a/b", "a", "a"):
        files.remove(tmp_path / name)
    assert not list(tmp_path.iterdir())
