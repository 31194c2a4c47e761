"""The command: from a run folder to an answered client, and what it refuses to start with."""

import json
import pathlib
import signal
import subprocess
import sys

import numpy as np
import pytest
import tiny_policy

import glam_jax
from glam_jax.client import PolicyClient
from glam_jax.serve import service

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tiny_policy.save(tmp_path_factory.mktemp("run"))


def start(*arguments):
    command = [sys.executable, "-m", "glam_jax.serve", *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


@pytest.mark.slow
def test_a_run_is_served_until_it_is_told_to_stop(folder, tmp_path):
    (tmp_path / "token").write_text("a token\n")
    server = start(
        f"--workdir={folder}", "--port=0", f"--token_file={tmp_path / 'token'}",
        "--config.action_speed=(0,)", "--config.execute=2",
    )  # fmt: skip
    try:
        line = server.stdout.readline()
        assert line.startswith("Serving lifting on ws://127.0.0.1:"), server.communicate()
        limits = [server.stdout.readline() for _ in range(9)]
        assert "rad" in limits[0] and limits[8] == "  action[7]  0 to 1, at any speed\n"
        port = int(line.split("ws://127.0.0.1:")[1].split(",")[0])
        with PolicyClient(port=port, token="a token") as client:
            found = client.infer(tiny_policy.observation(4))["actions"]
        expected = glam_jax.load_policy(folder)(tiny_policy.observation(4))[:2]
        np.testing.assert_allclose(found, expected, atol=1e-6)
        server.send_signal(signal.SIGTERM)
        out, err = server.communicate(timeout=60)
        assert server.returncode == 0, err
        assert json.loads(out)["served"] == 1
    finally:
        server.kill()
        server.wait()


@pytest.mark.slow
def test_what_others_could_reach_is_one_line_without_a_token(folder):
    server = start(f"--workdir={folder}", "--host=0.0.0.0")
    _, err = server.communicate(timeout=200)
    assert server.returncode == 1 and "needs a token" in err and "Traceback" not in err


def test_the_token(tmp_path, monkeypatch):
    monkeypatch.delenv("GLAM_JAX_TOKEN", raising=False)
    assert service.read_token(None) is None
    monkeypatch.setenv("GLAM_JAX_TOKEN", "from outside")
    assert service.read_token(None) == "from outside"
    (tmp_path / "empty").write_text("\n")
    with pytest.raises(service.SettingsError, match="empty file"):
        service.read_token(str(tmp_path / "empty"))
