"""Configs: what the argument picks, what the command line changes, and what is refused."""

import jax
import pytest
from absl import flags
from commands import from_command_line

from glam_jax import config, schema
from glam_jax.demonstrations import gather
from glam_jax.errors import ConfigError
from glam_jax.experiment import replay
from glam_jax.models import mip
from glam_jax.sim.robots import ROBOTS
from glam_jax.sim.tasks import TASKS
from glam_jax.stages import clone, pretrain
from glam_jax.stages.world_model import build

LAYOUT = schema.Layout(arms=1, image_size=64, has_actions=True)


def counts(made):
    """Source -> training episodes of a config."""
    return {source.name: source.episodes for source in gather.sources(made)}


def test_the_argument_picks_method_and_scale():
    assert config.parse_argument("") == {"method": "glam_o", "scale": "standard"}
    assert config.parse_argument(None) == config.DEFAULTS
    assert config.parse_argument("scale=quick,method=mip") == {"method": "mip", "scale": "quick"}


@pytest.mark.parametrize(
    "argument, message",
    [
        (
            "method=bc",
            "unknown method 'bc'; known: glam_o, glam, clam_o, clam, lapa_o, lapa, mip",
        ),
        ("method=glamo", "did you mean glam_o?"),
        ("scale=fast", "unknown scale 'fast'; known: quick, standard, paper"),
        ("scale", "unknown scale ''; known: quick, standard, paper"),
        ("task=lifting", "'task=lifting': expected method=NAME or scale=NAME"),
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


@pytest.mark.parametrize("family", ["glam", "clam", "lapa"])
@pytest.mark.parametrize("suffix, modality", [("_o", "mask"), ("", "rgb")])
def test_the_method_decides_what_the_world_model_sees(family, suffix, modality):
    made = config.make("lifting", f"method={family}{suffix}")
    assert made.world_model.modality == modality


@pytest.mark.parametrize("method", config.METHODS)
def test_the_method_decides_whose_episodes_are_learnt_from(method):
    made = config.make("lifting", f"method={method},scale=quick")
    alone = method in ("clam_o", "clam", "mip")
    assert (not any(made.data.auxiliary.values())) == alone
    for stage in (made.pretrain, made.clone):
        assert (stage.target_share == 1.0) == alone


@pytest.mark.parametrize("task", sorted(config.TASKS))
def test_every_task_has_a_target_with_actions_and_umi_beside_it(task):
    made = config.make(task)
    used = counts(made)
    assert used == {config.TASKS[task].target: 100, "umi": 400}
    assert set(made.data.auxiliary) == set(ROBOTS)


def test_any_combination_of_sources_can_be_asked_for():
    made = from_command_line(
        "",
        "--config.data.auxiliary.umi=30",
        "--config.data.auxiliary.kinova=20",
    )
    assert list(counts(made).items()) == [
        ("kinova_real", 100),
        ("kinova", 20),
        ("umi", 30),
    ]
    swapped = from_command_line(
        "", "--config.data.target=kinova", "--config.data.auxiliary.kinova_real=5"
    )
    assert counts(swapped) == {"kinova": 100, "kinova_real": 5, "umi": 400}
    assert counts(config.make("stack_two", "method=mip")) == {"kinova": 100}


@pytest.mark.parametrize(
    "overrides, message",
    [
        (("target=panda",), "unknown source 'panda'; known: kinova, kinova_real, umi"),
        (("target=umi",), "data.target is 'umi'; expected one with actions: kinova, kinova_real"),
        (("auxiliary.kinova_real=5",), "data.auxiliary.kinova_real is 5, but kinova_real is the"),
    ],
)
def test_sources_that_do_not_fit_are_refused(overrides, message):
    made = from_command_line("", *(f"--config.data.{value}" for value in overrides))
    with pytest.raises(ValueError, match=message):
        gather.sources(made)


def test_an_unknown_task_or_auxiliary_source_is_refused():
    with pytest.raises(ValueError, match="unknown task 'juggling'; known: lifting, pick_place"):
        config.make("juggling")
    with pytest.raises(AttributeError, match="panda"):
        from_command_line("", "--config.data.auxiliary.panda=5")


@pytest.mark.parametrize(
    "target, robot, asked, expected",
    [
        ("kinova", "target", None, "kinova"),
        ("kinova_real", "target", None, "kinova_real"),
        ("kinova_real", "kinova", None, "kinova"),
        ("kinova", "target", "kinova_real", "kinova_real"),
    ],
)
def test_replay_is_on_the_target_unless_another_robot_is_named(target, robot, asked, expected):
    made = config.make("lifting")
    made.data.target, made.replay.robot = target, robot
    assert replay.replay_world(made, asked).robot.name == expected


def test_replay_needs_a_robot_with_actions():
    with pytest.raises(ValueError, match="robot is 'umi'; expected one with actions"):
        replay.replay_world(config.make("lifting"), "umi")


def test_arms_are_those_of_the_tasks():
    assert {name: task.arms for name, task in TASKS.items()} == {
        name: task.arms for name, task in config.TASKS.items()
    }


def test_mip_learns_from_target_actions_alone():
    made = config.make("lifting", "method=mip")
    assert not any(made.data.auxiliary.values()) and made.clone.weights.action == 0.0
    weights = {
        m: config.make("lifting", f"method={m}").clone.weights.action for m in config.METHODS
    }
    light, whole = {"glam", "glam_o"}, {"clam", "clam_o", "lapa", "lapa_o"}
    assert weights == dict.fromkeys(light, 0.03) | dict.fromkeys(whole, 1.0) | {"mip": 0.0}


def test_all_views_are_used_or_those_that_are_named():
    for task, hands in (("lifting", ("wrist",)), ("stack_three", ("wrist_left", "wrist_right"))):
        assert gather.target(config.make(task)).layout.views == ("front", "overhead", *hands)
    fixed = from_command_line("", "--config.data.views=('front','overhead')")
    assert gather.target(fixed).layout.views == fixed.data.views == ("front", "overhead")
    unknown = from_command_line("", "--config.data.views=('front','side')")
    message = "data.views names side; source kinova_real has: front, overhead, wrist"
    with pytest.raises(ConfigError, match=message):
        gather.target(unknown).layout  # noqa: B018


def test_only_what_a_world_model_has_can_be_set():
    with pytest.raises(AttributeError, match="alignment"):
        from_command_line("method=lapa", "--config.world_model.alignment=none")
    with pytest.raises(AttributeError, match="kl_idm"):
        from_command_line("method=clam", "--config.pretrain.weights.kl_idm=1.0")
    changed = from_command_line("method=clam", "--config.pretrain.weights.action=0.01")
    assert changed.pretrain.weights.action == 0.01


def test_standard_is_the_papers_data_and_modules():
    made = config.make("lifting")
    assert (made.data.target_episodes, made.data.auxiliary.umi) == (100, 400)
    model, policy = made.world_model, made.policy
    assert (model.latent, model.visual, model.width, model.decoder_layers) == (8, 128, 256, 4)
    assert (model.posterior_blocks, model.forward_blocks, model.proprio_blocks) == (5, 4, 5)
    assert (policy.chunk, policy.layers, policy.width, policy.decoder_layers) == (20, 10, 256, 4)
    assert (policy.hidden, policy.condition) == (256, 64)


def test_paper_differs_from_standard_in_sizes_and_in_the_policys_recipe():
    paper = from_command_line("scale=paper", "--config.policy.dinov2_weights=a.pth")
    assert (paper.image_size, paper.policy.encoder) == (224, "dinov2")
    assert paper.policy.dinov2_weights == "a.pth"
    assert paper.world_model.channels == (32, 64, 128, 256)
    assert (paper.clone.learning_rate, paper.clone.matrix_learning_rate) == (1e-4, 0.0)
    assert (paper.clone.batch, paper.clone.weight_decay, paper.clone.clip) == (256, 1e-5, 10.0)
    assert paper.data.to_json() == config.make("lifting").data.to_json()


@pytest.mark.parametrize("method", config.METHODS)
@pytest.mark.parametrize("scale", ["quick", "standard"])
def test_every_config_describes_its_models(method, scale):
    made = config.make("lifting", f"method={method},scale={scale}")
    assert set(made.clone.weights) == set(mip.MipPolicy.term_rows)
    if method != "mip":
        world_model = build(made, LAYOUT)
        assert set(made.pretrain.weights) == set(world_model.term_rows)
        params = jax.eval_shape(lambda: pretrain.init_params(world_model, LAYOUT, made.seed))
        params = params["params"]
        if method.startswith("lapa"):
            assert params["codebook"].shape == (8, 2) and "action_decoder" not in params
        else:
            last = params["action_decoder"]["MLP_0"]["Dense_3"]["kernel"]
            assert last.shape == (made.world_model.width, 8)
    policy = clone.build(made, LAYOUT, 8)
    params = jax.eval_shape(lambda: clone.init_params(policy, LAYOUT, made.seed))
    assert ("action_decoder" in params["params"]) == (method != "mip")


def test_no_demonstration_has_a_start_of_the_evaluation():
    evaluated = config.make("lifting").evaluate.first_seed
    for first in schema.FIRST_SEED.values():
        assert evaluated - max(first.values()) > 10_000
