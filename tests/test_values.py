"""What each value of a config may be: every key is described, and what is wrong is one line."""

import dataclasses
import importlib.util
import math
import pathlib

import jax
import jax.numpy as jnp
import pytest
from commands import from_command_line

from glam_jax import config, kinds, schema, values
from glam_jax.errors import ConfigError
from glam_jax.experiment import experiment
from glam_jax.models import vision
from glam_jax.models.dinov2.vit import DinoV2
from glam_jax.own_data import config as own_config
from glam_jax.stages import pretrain
from glam_jax.stages.world_model import build
from glam_jax.study import grid

ROOT = pathlib.Path(__file__).parents[1]


def file_of(path):
    """The module of a file in configs/."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


OWN = file_of(ROOT / "configs" / "own_data.py").OWN
ARGUMENTS = [f"method={m},scale={s}" for m in config.METHODS for s in config.SCALES]


def made(argument):
    """The configs that an argument can make."""
    yield from (config.make(task, argument) for task in config.TASKS)
    yield own_config.make("mine", OWN | {"image_size": 224}, argument)


@pytest.mark.parametrize("argument", ARGUMENTS)
def test_every_key_of_every_config_is_described_and_every_default_is_right(argument):
    for one in made(argument):
        values.check(one)
        for key in config.flat(one):
            assert values.of(key), f"describe {key} in glam_jax/values.py"


@pytest.mark.parametrize("path", sorted((ROOT / "configs" / "studies").glob("*.py")), ids=str)
@pytest.mark.parametrize("argument", ["", "quick"])
def test_every_cell_of_every_study_is_right(path, argument):
    for cell in grid.expand(file_of(path).get_config(argument)):
        if cell.seed == 0:
            cell.config()  # is checked


def test_no_description_is_of_no_key():
    keys = {key for argument in ARGUMENTS for one in made(argument) for key in config.flat(one)}
    used = {id(values.of(key)) for key in keys}
    assert not [key for key, value in values.VALUES.items() if id(value) not in used]


def wrong(allowed):
    """Values of a kind's type that it does not allow."""
    if isinstance(allowed, kinds.Number) and allowed.whole:
        return [allowed.least - 1, -(10**30), *([] if math.isinf(allowed.most) else [10**30])]
    if isinstance(allowed, kinds.Number):
        beyond = [allowed.least if allowed.above else allowed.least - 0.5, allowed.most + 0.5]
        return [math.nan, math.inf, -math.inf, *(float(x) for x in beyond if math.isfinite(x))]
    if isinstance(allowed, kinds.Choice) and allowed != values.YES_NO:
        return [f"{allowed.known[0]}x" if isinstance(allowed.known[0], str) else 99]
    if isinstance(allowed, kinds.Text) and allowed.some:
        return [""]
    if isinstance(allowed, kinds.Several):
        inner = [(x,) * (allowed.count or 1) for x in wrong(allowed.of)]
        other = [(8,) * (allowed.count + 1)] if allowed.count else []
        return inner + other + ([()] if allowed.least else []) + ([("a", "a")] * allowed.apart)
    return []


def test_every_key_with_a_wrong_value_is_one_line_that_names_it():
    tried = set()
    for one in (
        config.make("lifting"),
        config.make("lifting", "method=lapa"),
        own_config.make("mine", OWN, "method=glam"),
    ):
        for key, right in config.flat(one).items():
            for value in () if key in tried else wrong(values.of(key).allowed):
                _set(one, key, value)
                with pytest.raises(ConfigError) as error:
                    values.check(one)
                said = str(error.value)
                assert said.startswith(f"{key} is {value!r}; expected ") and "\n" not in said
                tried.add(key)
            _set(one, key, right)
    keys = {key for argument in ARGUMENTS for one in made(argument) for key in config.flat(one)}
    left = {key for key in keys - tried if not key.startswith("own.sources.")}
    assert left == {
        "data.broken",
        "world_model_from",
        "policy.dinov2_weights",
        "policy.dinov2_remat",
    }


def _set(one, key, value):
    with one.ignore_type():
        one.update_from_flattened_dict({key: value})


def test_numbers_that_are_not_finite_are_found_anywhere():
    one = own_config.make("mine", OWN, "method=glam")
    for value in (math.nan, (0.0, math.inf, 0.0)):
        with one.ignore_type():
            one.own.sources.my_arm.tool_offset = value
        with pytest.raises(ConfigError, match=r"^own.sources.my_arm.tool_offset is .*finite"):
            values.check(one)


def test_all_that_is_wrong_is_named():
    one = config.make("lifting")
    _set(one, "policy.chunk", 0)
    _set(one, "clone.ema_decay", 2.0)
    with pytest.raises(ConfigError) as raised:
        values.check(one)
    assert sorted(line.split(" is ")[0] for line in str(raised.value).splitlines()) == [
        "clone.ema_decay",
        "policy.chunk",
    ]


@pytest.mark.parametrize(
    "argument, overrides, message",
    [
        (
            "",
            ("clone.steps=200",),
            "clone.steps is 200, not above clone.warmup_steps=200; expected at least 201, or a "
            "warm-up of at most 199",
        ),
        ("", ("pretrain.steps=5",), "pretrain.steps is 5, not above pretrain.warmup_steps=200"),
        ("", ("policy.chunk=10",), "evaluate.execute is 20; expected at most policy.chunk=10"),
        (
            "",
            ("policy.shift_pixels=64",),
            "policy.shift_pixels is 64; expected fewer than image_s",
        ),
        (
            "",
            ("image_size=100",),
            "image_size is 100; expected a multiple of 16, such as 96, for 4 world_model.channels "
            "(each halves it) and policy.encoder=conv",
        ),
        (
            "method=mip",
            ("image_size=50",),
            "image_size is 50; expected a multiple of 8, such as 48, for policy.encoder=conv",
        ),
        ("", ("policy.view_size=50",), "policy.view_size is 50; expected a multiple of 8, such as"),
        ("scale=paper", ("policy.view_size=100",), "multiple of 14, such as 98, for policy.encode"),
        (
            "",
            ("world_model.reconstruct_share=0.3",),
            "world_model.reconstruct_share is 0.3; expected one over a whole number, such as 0.25",
        ),
        (
            "method=lapa",
            ("world_model.codes=3",),
            "world_model.latent is 8; expected a multiple of",
        ),
        ("", ("world_model.modality=rgb",), "modality is 'rgb'; method glam_o sees 'mask'; choose"),
        ("", ("task=juggling",), "task is 'juggling'; expected one of lifting, pick_place"),
        (
            "",
            ("data.auxiliary.umi=0",),
            "pretrain.target_share is 0.5; expected 1.0, as data.auxiliary has no episodes",
        ),
        ("", ("clone.target_share=0.0",), "clone.target_share is 0.0; expected more, as only the"),
        (
            "method=glam",
            ("pretrain.target_share=0.0",),
            "pretrain.target_share is 0.0; expected m",
        ),
        (
            "",
            ("method=mip",),
            "clone.target_share is 0.4; expected 1.0, as mip learns robot actions alone; choose "
            "the method with the task: --config=configs/lifting.py:method=mip",
        ),
        ("", ("method=clam_o",), "method is clam_o, but the config has pretrain.weights.alignment"),
        ("method=glam", ("method=lapa",), "method is lapa, but the config lacks pretrain.reseed_"),
        ("", ("data={}",), "method is glam_o, but the config lacks data.broken"),
        ("", ("evaluate.first_seed=0",), "first_seed is 0; expected a whole number from 1000000"),
    ],
)
def test_values_that_do_not_go_together_are_refused(argument, overrides, message):
    one = from_command_line(argument, *(f"--config.{each}" for each in overrides))
    with pytest.raises(ConfigError) as error:
        values.check(one)
    assert any(message in line for line in str(error.value).splitlines())


def test_a_share_of_no_use_is_allowed():
    """Of a stage that another run makes, and of LAPA's first, which learns no actions."""
    values.check(from_command_line("method=lapa", "--config.pretrain.target_share=0.0"))
    one = from_command_line("", "--config.data.auxiliary.umi=0", "--config.clone.target_share=1.0")
    one.world_model_from = "../another"
    values.check(one)


def test_a_source_that_joins_the_target_must_have_episodes():
    one = own_config.make("mine", OWN, "method=glam")
    one.own.joins_target = ("my_handheld",)
    one.data.auxiliary.my_handheld = 0
    with pytest.raises(ConfigError, match="joins_target names 'my_handheld', which has no episode"):
        values.check(one)


@pytest.mark.parametrize(
    "wrong",
    ["clone.log_every=0", "replay.robot=umi", "data.views=('side',)", "world_model_from=../none"],
)
def test_it_is_said_before_the_run_folder_is_made(tmp_path, wrong):
    one = from_command_line("scale=quick", f"--config.{wrong}")
    for run in (experiment.run, experiment.run_stage1):
        with pytest.raises(ValueError, match=wrong.partition("=")[0]):
            run(one, tmp_path / "run")
    assert not list(tmp_path.iterdir())


def test_the_sides_that_encoders_take():
    assert values.ENCODERS["dinov2"] == DinoV2.patch
    encoder, key = vision.SmallEncoder((2, 2, 2), 2), jax.random.key(0)

    def gradient(side):
        image = jnp.zeros((1, side, side, 3), jnp.uint8)
        params = encoder.init(key, image)
        return jax.grad(lambda p: encoder.apply(p, image).sum())(params)

    step = values.ENCODERS["conv"]
    for side in (step, 3 * step):
        jax.eval_shape(lambda side=side: gradient(side))
    with pytest.raises((ValueError, TypeError)):
        jax.eval_shape(lambda: gradient(step + step // 2))


@pytest.mark.parametrize("channels", [(4,), (4, 4, 4), (4, 4, 4, 4, 4)])
def test_a_world_model_may_have_any_number_of_channels(channels):
    one = config.make("lifting")
    one.world_model.channels, one.image_size = channels, 96
    values.check(one)
    layout = schema.Layout(arms=1, image_size=96, has_actions=True)
    model = build(one, layout)
    params = jax.eval_shape(lambda: pretrain.init_params(model, layout, 0))
    shape = (2, 1, 2, 96, 96, 1)
    image = jax.ShapeDtypeStruct(shape, jnp.uint8)
    out = jax.eval_shape(lambda p, x: model.apply(p, x, method="reconstruct"), params, image)
    assert out.shape == shape


def test_what_each_kind_says():
    said = {str(value.allowed) for value in values.VALUES.values()}
    assert "a number above 0 up to 1" in said and "a whole number from 1" in said
    assert str(kinds.Number()) == "a number"
    three = kinds.Several(kinds.whole(1), count=3)
    assert str(three) == "(3 values, each a whole number from 1)"
    assert not three.accepts((1, 2, True)) and three.accepts([1, 2, 3])
    assert not dataclasses.replace(three, apart=True).accepts((1, 1, 2))
