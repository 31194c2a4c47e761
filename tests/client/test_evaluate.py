"""A simulator measured against a real server: what is found, told, written and continued."""

import json
import math

import imageio.v2 as imageio
import numpy as np
import point_mass
import pytest
from point_mass import PointMass
from running_server import running

from glam_jax.client import PolicyClient, PolicyError, measures
from glam_jax.client.episodes import evaluate
from glam_jax.client.evaluate import main
from glam_jax.client.film import FilmError
from glam_jax.client.record import RecordError
from glam_jax.client.simulator import SimulatorError
from glam_jax.evaluation import intervals, smoothness

# Reading back is imageio's, which forks to start ffmpeg; JAX warns of that.
pytestmark = pytest.mark.filterwarnings("ignore:os.fork")

SEEDS = range(8)
EXPECTED = [point_mass.expected(seed) for seed in SEEDS]


@pytest.fixture(scope="module")
def port():
    with running(point_mass.service()) as (_, port):
        yield port


@pytest.fixture
def client(port):
    with PolicyClient(port=port) as client:
        yield client


def outcomes(found):
    return [(episode["success"], episode["steps"]) for episode in found["episodes"]]


def test_episodes_and_their_summary(client):
    env, said = PointMass(), []
    found = evaluate(env, client, SEEDS, report=said.append)
    assert env.seeds == list(SEEDS) and outcomes(found) == EXPECTED
    successes = sum(success for success, _ in EXPECTED)
    assert 0 < successes < len(SEEDS)
    summary = found["summary"]
    assert summary["successes"] == successes and not found["partial"]
    np.testing.assert_allclose(summary["wilson_95"], intervals.wilson(successes, len(SEEDS)))
    assert summary["mean_steps"] == np.mean([steps for _, steps in EXPECTED])
    requests = sum(math.ceil(steps / point_mass.EXECUTE) for _, steps in EXPECTED)
    ms = summary["latency_ms"]
    assert summary["requests"] == requests and 0 < ms["p50"] <= ms["p95"] <= ms["max"]
    assert len(said) == len(SEEDS) + 4 and said[0].startswith("seed 0: ")
    assert said[-4].startswith(f"success     {successes} of 8 = ")
    assert found["policy"]["action_dim"] == 2 and json.dumps(found)


def test_old_gym_is_the_same(client):
    found = evaluate(point_mass.OldPointMass(), client, SEEDS, report=lambda _: None)
    assert outcomes(found) == EXPECTED


@pytest.mark.parametrize(
    ("key", "asked", "known"),
    [("is_success", None, True), ("at/goal", "at/goal", True), ("goal", None, False)],
)
def test_where_success_is_told(client, key, asked, known):
    said = []
    found = evaluate(PointMass(key=key), client, [0, 1], success=asked, report=said.append)
    assert found["summary"]["success_known"] == known
    assert ("--success=KEY" in said[-1]) is not known
    if known:
        assert outcomes(found) == EXPECTED[:2]


def test_an_episode_ends_at_max_steps_and_carries_out_what_it_is_told(client):
    found = evaluate(PointMass(), client, [0], max_steps=2, execute=1, report=lambda _: None)
    assert found["episodes"][0]["ended"] == "max_steps" and found["summary"]["requests"] == 2


@pytest.mark.parametrize(
    ("env", "said"),
    [
        (PointMass(lacks=["state"]), "lacks state/goal; it has image_front, proprio"),
        (PointMass(lacks=["proprio", "state"]), "lacks proprio, state/goal; it has image_front"),
    ],
)
def test_what_the_environment_lacks_is_told_before_it_moves(client, env, said):
    with pytest.raises(SimulatorError, match=said):
        evaluate(env, client, SEEDS)
    assert env.seeds == [0] and env.steps == 0


def test_actions_of_another_width_are_told_before_anything(client):
    env = PointMass()
    env.action_space = np.zeros(7)
    with pytest.raises(SimulatorError, match=r"takes actions \(7,\); the policy's have 2 numbers"):
        evaluate(env, client, SEEDS)
    assert env.seeds == []


def test_an_interrupted_run_goes_on_with_what_is_missing(client, tmp_path):
    first, said = PointMass(broken_after=EXPECTED[0][1] + 1), []
    with pytest.raises(KeyboardInterrupt):
        evaluate(first, client, SEEDS, out=tmp_path, report=said.append)
    before = json.loads((tmp_path / "episodes.json").read_text())
    assert before["partial"] and outcomes(before) == EXPECTED[:1]
    assert said[-4].startswith("success     ")
    second = PointMass()
    evaluate(second, client, SEEDS, out=tmp_path, report=said.append)
    after = json.loads((tmp_path / "episodes.json").read_text())
    assert second.seeds == list(SEEDS)[1:] and outcomes(after) == EXPECTED
    assert not after["partial"] and after["episodes"][0] == before["episodes"][0]
    third = PointMass()
    found = evaluate(third, client, SEEDS, out=tmp_path, report=said.append)
    assert third.seeds == [] and found == after
    assert {path.name for path in tmp_path.iterdir()} == {"episodes.json"}


def test_other_episodes_are_not_continued(client, tmp_path):
    evaluate(PointMass(), client, [0], out=tmp_path, about={"args": {"horizon": 20}})
    with pytest.raises(RecordError, match="environment/args/horizon is 20 there and 10 here"):
        evaluate(PointMass(), client, [1], out=tmp_path, about={"args": {"horizon": 10}})
    with pytest.raises(RecordError, match="settings/max_steps is 1000 there and 5 here"):
        evaluate(
            PointMass(), client, [1], out=tmp_path, max_steps=5, about={"args": {"horizon": 20}}
        )
    with (
        running(point_mass.service(method="mip")) as (_, port),
        PolicyClient(port=port) as other,
        pytest.raises(RecordError, match="policy/method is None there and 'mip' here"),
    ):
        evaluate(PointMass(), other, [1], out=tmp_path, about={"args": {"horizon": 20}})
    (tmp_path / "episodes.json").write_text("[]")
    with pytest.raises(RecordError, match="is not of this command; choose another --out"):
        evaluate(PointMass(), client, [1], out=tmp_path)


def test_what_the_server_says_ends_the_run(client, tmp_path):
    env = PointMass()
    env.render = lambda: np.zeros((4, 4, 3), np.uint8)
    with pytest.raises(PolicyError, match=r"image_front: found shape \(4, 4, 3\)"):
        evaluate(env, client, SEEDS, out=tmp_path)
    assert not list(tmp_path.iterdir())


def test_the_first_seeds_are_filmed(client, tmp_path):
    evaluate(PointMass(), client, SEEDS, out=tmp_path, film=2, camera="image_front")
    assert sorted(path.name for path in tmp_path.glob("*.mp4")) == ["seed_0.mp4", "seed_1.mp4"]
    frames = imageio.mimread(tmp_path / "seed_1.mp4")
    # A state more than steps, and the encoder's own rounding of times.
    assert abs(len(frames) - EXPECTED[1][1] - 1) <= 1 and frames[0].shape == (4, 6, 3)
    with pytest.raises(SimulatorError, match="'front' gave object .*--camera: image_front, "):
        evaluate(PointMass(), client, [9], out=tmp_path, film=1, camera="front")
    with pytest.raises(SimulatorError, match=r"env.render\(\) gave object .*--camera: "):
        evaluate(point_mass.OldPointMass(), client, [9], out=tmp_path / "old", film=1)
    assert not list(tmp_path.rglob(".*"))
    with pytest.raises(FilmError, match="films need a folder: give --out"):
        evaluate(PointMass(), client, SEEDS, film=1)


def test_the_command(port, tmp_path, capsys):
    address = f"--policy=ws://127.0.0.1:{port}"
    words = [address, "--env=point_mass:PointMass", "--episodes=3", "--first_seed=2"]
    words.append(f"--out={tmp_path}")
    assert main([*words, '--env_args={"horizon": 8}']) == 0
    found = json.loads((tmp_path / "episodes.json").read_text())
    assert outcomes(found) == [point_mass.expected(seed, 8) for seed in (2, 3, 4)]
    assert found["environment"]["args"] == {"horizon": 8}
    assert "95% Wilson interval" in capsys.readouterr().out
    assert main(words) == 1
    assert capsys.readouterr().err.endswith("choose another --out\n")
    assert main([*words[:-1], '--env_args={"broken_after": 30}']) == 130
    assert "smoothness" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--env=no_such_module:make"], "--env=no_such_module:make: No module named"),
        (["--env=point_mass:make"], "--env=point_mass:make: point_mass has no function make"),
        (["--env=NoSuchTask-v0"], "--env=NoSuchTask-v0: Environment `NoSuchTask` doesn't exist"),
        (["--env=point_mass:PointMass", "--policy=ws://127.0.0.1:1"], "ws://127.0.0.1:1: "),
    ],
)
def test_what_is_wrong_is_one_line(words, said, capsys):
    assert main(words) == 1
    err = capsys.readouterr().err
    assert err.startswith(said) and err.count("\n") == 1


@pytest.mark.parametrize("counts", [(0, 1), (1, 1), (0, 50), (43, 50), (50, 50), (7, 8)])
def test_the_interval_is_that_of_the_project(counts):
    np.testing.assert_allclose(measures.wilson(*counts), intervals.wilson(*counts), atol=1e-12)


def test_smoothness_is_that_of_the_project(rng):
    for length in (3, 4, 5, 61):
        path = np.cumsum(rng.normal(0, 0.01, (length, 3)), 0)
        speed = smoothness.speed(path, 20.0)
        np.testing.assert_array_equal(
            measures.fft_score(speed, 20.0), smoothness.fft_score(speed, 20.0)
        )
    still = np.zeros((61, 2))
    along = np.stack([path[:, 0], *still.T], 1)
    score = smoothness.fft_score(smoothness.speed(along, 20.0), 20.0)
    assert measures.smoothness(path[:, :1], 20.0) == pytest.approx(score, rel=1e-12)
    # What stands still has no score, and does not count.
    assert measures.smoothness(along, 20.0) == pytest.approx(score, rel=1e-12)
    assert measures.smoothness(still, 20.0) is None
