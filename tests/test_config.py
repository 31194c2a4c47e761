"""Configs: what the argument picks, what the command line changes, and what is refused."""

import pathlib
import sys

import jax
import pytest
from absl import flags
from ml_collections import config_flags

from glam_jax import collect, config, experiment, schema
from glam_jax.models import glam, mip
from glam_jax.recording import DataError
from glam_jax.stages import clone, pretrain

LIFTING = pathlib.Path(__file__).parents[1] / "configs" / "lifting.py"
LAYOUT = schema.Layout(arms=1, image_size=64, has_actions=True)


def from_command_line(argument="", *overrides):
    """The config that an entry point gets."""
    values = flags.FlagValues()
    flag = config_flags.DEFINE_config_file("config", None, "", flag_values=values)
    path = f"{LIFTING}:{argument}" if argument else str(LIFTING)
    with pytest.MonkeyPatch.context() as patch:  # the flag looks there for what is overridden
        patch.setattr(sys, "argv", ["program", f"--config={path}", *overrides])
        values(sys.argv)
    return flag.value


def test_the_argument_picks_method_and_scale():
    assert config.parse_argument("") == {"method": "glam_o", "scale": "standard"}
    assert config.parse_argument(None) == config.DEFAULTS
    assert config.parse_argument("scale=quick,method=mip") == {"method": "mip", "scale": "quick"}


@pytest.mark.parametrize(
    "argument, message",
    [
        ("method=clam", "unknown method 'clam'; known: glam_o, glam, mip"),
        ("method=glamo", "did you mean glam_o?"),
        ("scale=fast", "unknown scale 'fast'; known: quick, standard, paper"),
        ("scale", "unknown scale ''; known: quick, standard, paper"),
        ("task=lifting", "'task=lifting': expected method=NAME or scale=NAME"),
        ("scale=paper", "scale=paper needs the DINOv2-S/14 encoder, which is not in this version"),
    ],
)
def test_bad_arguments_are_one_line_each(argument, message):
    with pytest.raises(ValueError) as error:
        config.make("lifting", argument)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_command_line_changes_values():
    changed = from_command_line(
        "scale=quick", "--config.pretrain.steps=500", "--config.policy.channels=(4, 4, 4)"
    )
    plain = config.make("lifting", "scale=quick")
    assert (changed.pretrain.steps, changed.policy.channels) == (500, (4, 4, 4))
    with changed.unlocked():
        changed.pretrain.steps, changed.policy.channels = plain.pretrain.steps, (32, 32, 64)
        changed.policy.channels = plain.policy.channels
    assert changed.to_json() == plain.to_json()
    assert from_command_line().to_json() == config.make("lifting").to_json()


def test_unknown_keys_and_wrong_types_are_refused():
    with pytest.raises(AttributeError, match='Did you mean "steps" instead of "stepz"'):
        from_command_line("", "--config.pretrain.stepz=3")
    with pytest.raises(flags.IllegalFlagValueError, match=r"config.pretrain.steps=many"):
        from_command_line("", "--config.pretrain.steps=many")
    made = config.make("lifting")
    with pytest.raises(AttributeError, match='Did you mean "weights"'):
        made.pretrain.weight = {}
    with pytest.raises(TypeError):
        made.pretrain.steps = "500"


@pytest.mark.parametrize("method, modality", [("glam_o", "mask"), ("glam", "rgb")])
def test_the_method_decides_what_the_world_model_sees(method, modality):
    assert config.make("lifting", f"method={method}").world_model.modality == modality


def test_mip_learns_from_target_actions_alone():
    made = config.make("lifting", "method=mip")
    assert made.data.auxiliary_episodes == 0 and made.clone.target_share == 1.0
    assert made.clone.weights.action == 0.0


def test_standard_is_the_papers_data_and_modules():
    made = config.make("lifting")
    assert (made.data.target_episodes, made.data.auxiliary_episodes) == (100, 400)
    model, policy = made.world_model, made.policy
    assert (model.latent, model.visual, model.width, model.decoder_layers) == (8, 128, 256, 4)
    assert (model.posterior_blocks, model.forward_blocks, model.proprio_blocks) == (5, 4, 5)
    assert (policy.chunk, policy.layers, policy.width, policy.decoder_layers) == (20, 10, 256, 4)
    assert (policy.hidden, policy.condition) == (256, 64)


@pytest.mark.parametrize("method", config.METHODS)
@pytest.mark.parametrize("scale", ["quick", "standard"])
def test_every_config_describes_its_models(method, scale):
    made = config.make("lifting", f"method={method},scale={scale}")
    assert set(made.pretrain.weights) == set(glam.TERM_ROWS)
    assert set(made.clone.weights) == set(mip.TERM_ROWS)
    world_model = pretrain.build(made, LAYOUT)
    channels = 2 if method == "glam_o" else 6
    params = jax.eval_shape(lambda: pretrain.init_params(world_model, LAYOUT, channels, made.seed))
    assert params["params"]["action_decoder"]["MLP_0"]["Dense_3"]["kernel"].shape == (256, 8)
    policy = clone.build(made, LAYOUT, 8)
    params = jax.eval_shape(lambda: clone.init_params(policy, LAYOUT, made.seed))
    assert ("action_decoder" in params["params"]) == (method != "mip")


def test_no_demonstration_has_a_start_of_the_evaluation():
    evaluated = config.make("lifting").evaluate.first_seed
    assert evaluated - max(collect.FIRST_SEED.values()) > 10_000


def test_a_third_source_counts_only_if_asked_for():
    made = config.make("lifting")
    assert experiment.sources(made) == {"kinova": 100, "umi": 400}
    made.update({"data": {"target": "kinova_real", "third_episodes": 100}})
    assert list(experiment.sources(made).items()) == [
        ("kinova_real", 100), ("umi", 400), ("kinova", 100)
    ]  # fmt: skip
    made.update({"data": {"target": "kinova"}})
    with pytest.raises(DataError, match="data.third is 'kinova', which is a source already"):
        experiment.sources(made)
