"""The site of docs/: it builds as it is, and what it says to type exists."""

import pathlib
import re
import shlex
import subprocess
import sys

import pytest

from glam_jax import config

ROOT = pathlib.Path(__file__).parents[1]
sys.path.insert(0, str(ROOT / "docs"))

import reference  # noqa: E402

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
START = "python -m glam_jax."
ENTRY_POINTS = reference.entry_points()


def commands(page: pathlib.Path) -> list[list[str]]:
    """The words of each `python -m glam_jax.NAME ...` of a page's indented blocks."""
    blocks = re.findall(r"(?:^    .*\n)+", page.read_text(), re.MULTILINE)
    lines = "".join(blocks).replace("\\\n", " ").splitlines()
    found = [line[line.index(START) :] for line in lines if START in line]
    # One that another program is given in quotes ends with theirs.
    whole = [line.removesuffix('"') if line.count('"') % 2 else line for line in found]
    return [shlex.split(line, comments=True) for line in whole]


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The built site; a warning fails it, as a link that leads nowhere is one.

    By a process of its own: the pages of the reference start every entry point, and each defines
    its flags, which a process may do once.
    """
    folder = tmp_path_factory.mktemp("site")
    words = [sys.executable, "-m", "mkdocs", "build", "--strict", f"--site-dir={folder}"]
    built = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert built.returncode == 0, built.stderr
    return folder


@pytest.fixture(scope="module")
def flags_of(site):
    """Entry point -> names of its flags, as the page of all commands has them."""
    _, *sections = re.split(r'<h2 id="', (site / "commands.html").read_text())
    return {
        text.partition('"')[0]: set(re.findall(r"<td><code>--([^<]+)</code></td>", text))
        for text in sections
    }


def test_it_builds_without_warnings_and_loads_nothing_from_elsewhere(site):
    for page in (ROOT / "docs").glob("*.md"):
        text = (site / page.with_suffix(".html").name).read_text()
        assert not re.findall(r"<(?:link|script|img)[^>]*(?:src|href)=.?https?:", text), page


def test_every_entry_point_is_on_the_page_with_its_flags(flags_of):
    assert set(flags_of) == set(ENTRY_POINTS)
    assert flags_of["evaluate"] >= {"workdir", "trials", "video"}
    # Defined when it is started; the last one by all.
    assert flags_of["collect"] == {"config", "source", "episodes", "compilation_cache"}


def test_every_key_of_a_config_is_on_the_page_and_explained(site):
    text = (site / "configuration.html").read_text()
    rows = dict(re.findall(r"<tr>\s*<td><code>([^<]+)</code></td>(.*?)</tr>", text, re.DOTALL))
    for method in config.METHODS:
        for key in config.flat(config.make("lifting", f"method={method}")):
            *_, note = re.findall(r"<td>(.*?)</td>", rows[key], re.DOTALL)
            assert note.strip(), f"{key} has no comment in glam_jax/config.py"


def test_comments_are_read_from_beside_and_from_above():
    found = reference.comments(config, {"_clone": "clone.", "assemble": ""})
    assert found["seed"] == "Seed of initial parameters, batches and noise in training."
    assert (
        found["clone.weights.action"]
        == "Weight of the robot actions decoded from both predictions."
    )


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_commands_of_the_pages_exist(page, flags_of):
    for words in commands(page):
        name = words[2].removeprefix("glam_jax.")
        assert name in ENTRY_POINTS, words
        for word in words[3:]:
            if word in ("--", "&&", "|"):
                break
            if not word.startswith("--"):
                continue
            flag = word[2:].partition("=")[0]
            key = flag.removeprefix("config.")
            if key == flag:
                known = flags_of[name]
                assert flag in known or flag.removeprefix("no") in known, words
            elif not key.startswith("own."):
                assert _exists(key, words), words
        for path in re.findall(r"--config=([\w./]+\.py)", " ".join(words)):
            assert (ROOT / path).is_file() or "my_" in path, words


@pytest.mark.slow
def test_a_command_of_the_pages_that_takes_seconds_runs():
    (words,) = [w for w in commands(ROOT / "docs" / "scaling.md") if w[2] == "glam_jax.estimate"]
    done = subprocess.run(
        [sys.executable, *words[1:]], cwd=ROOT, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    assert "| 512 | 131072 |" in done.stdout


def _exists(key: str, words: list[str]) -> bool:
    served = words[2] == "glam_jax.serve"
    keys = config.flat(reference.service.settings() if served else config.make("lifting"))
    return key in keys or "study" in words[2]
