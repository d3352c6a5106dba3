import dataclasses
import re
from dataclasses import dataclass
from typing import Annotated

import pytest
import toy_experiment
from toy_experiment import ToyConfig

from gen_jax.config import AtSampling, Config, Count, Within, free_fields, sampling_fields
from gen_jax.data.field import Field, point_fields
from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.experiment import TINY, Experiment

TOY = toy_experiment.EXPERIMENT


@dataclass(frozen=True)
class Example(Config):
    data: str = "ring8"
    steps: int = 5_000
    width: Count = 3
    depth: Count = 2

    def unused(self):
        return {"depth": "a width of 1 has no depth"} if self.width == 1 else {}


def build(config, data):
    raise NotImplementedError


def test_class_is_the_default_and_presets_are_what_differs():
    experiment = Experiment(
        build,
        Example,
        family="adversarial",
        tiny={"width": 1, "steps": 7},
        paper={"data": "mnist", "width": 100},
        others={"images": {"data": "digits"}},
    )
    assert experiment.presets == {
        "default": Example(),
        "tiny": Example(**{**TINY, "steps": 7}, preset="tiny", width=1),
        "paper": Example(preset="paper", data="mnist", width=100),
        "images": Example(preset="images", data="digits"),
    }
    assert list(experiment.presets) == ["default", "tiny", "paper", "images"]
    assert (experiment.family, experiment.parts) == ("adversarial", ())


def test_there_need_be_no_preset_but_the_default():
    assert Experiment(build, Example).presets == {"default": Example()}


def test_tiny_is_tiny():
    (tiny,) = (Experiment(build, Example, tiny={}).presets["tiny"],)
    assert (tiny.steps, tiny.batch_size, tiny.grid_samples, tiny.report) == (6, 8, 16, False)


@pytest.mark.parametrize(
    ("presets", "text"),
    [
        ({"paper": {"widht": 3}}, "preset paper: there is no option widht; the nearest is 'width'"),
        ({"tiny": {"colour": "red"}}, "preset tiny: there is no option colour"),
        ({"tiny": {"width": 0}}, "preset tiny: --width is 0; accepted: a number of at least 1"),
        ({"others": {"huge": {"steps": 2**31}}}, "preset huge: --steps is 2147483648; accepted: a number from 1 to "),
        ({"paper": {"precision": "float8"}}, "preset paper: --precision is float8; accepted: float32, bfloat16"),
    ],
)
def test_a_preset_that_is_wrong_is_refused_when_the_module_is_imported(presets, text):
    with pytest.raises(ConfigError, match=rf"test_experiment, {re.escape(text)}"):
        Experiment(build, Example, **presets)


@dataclass(frozen=True)
class Wrong(Config):
    batch_size: int = 0


def test_defaults_that_are_wrong_are_refused_too():
    text = "preset default: --batch-size is 0; accepted: a number of at least 1"
    with pytest.raises(ConfigError, match=f"test_experiment, {text}$"):
        Experiment(build, Wrong)


def test_presets_in_place_of_a_class_are_refused_with_what_to_write():
    experiment = Experiment(build, Example)
    # As a file of an older version has it; type checks, which only tests have, would be the first to object.
    object.__setattr__(experiment, "config", {"default": Example()})
    with pytest.raises(ConfigError, match=r"takes the class of its configuration, .*tiny=\{\.\.\.\}"):
        experiment.__post_init__()


def test_an_option_that_nothing_uses_is_refused_unless_its_preset_has_it():
    experiment = Experiment(build, Example, paper={"width": 1, "depth": 9})
    experiment.check(Example(depth=5))
    experiment.check(Example(width=1))
    experiment.check(experiment.presets["paper"])
    for config, depth in ((Example(width=1, depth=5), 5), (Example(preset="paper", width=1), 2)):
        with pytest.raises(ConfigError, match=f"^--depth is {depth}; a width of 1 has no depth$"):
            experiment.check(config)
    # Of a preset that is no more, the default tells what was chosen.
    experiment.check(Example(preset="gone", width=1))


def test_a_variant_is_built_by_another_function_and_found_in_its_own_module():
    experiment = Experiment(build, Example, paper={"width": 9})
    variant = dataclasses.replace(experiment, build=re.compile)
    assert variant.presets == experiment.presets
    assert (experiment.module.__name__, variant.module.__name__) == (__name__, "re")


def test_a_stream_that_a_method_does_not_take_is_one_line():
    info = DataInfo("pairs", {**point_fields(), "y": Field("points", (2,))}, 9, 1, "f", {"others": (5, 2)})
    with pytest.raises(
        ConfigError, match=r"^--data is pairs, which has a stream others beside x; toy_experiment takes x$"
    ):
        TOY.game(TOY.presets["default"], info)
    taking = dataclasses.replace(TOY, build=lambda *given: dataclasses.replace(TOY.build(*given), streams=("others",)))
    assert taking.game(TOY.presets["default"], info).streams == ("others",)


def test_a_part_that_is_needed_and_not_named_is_one_line():
    def build(config, data, *, first_stage):
        raise AssertionError("not built without its part")

    needing = dataclasses.replace(TOY, build=build, parts=("first_stage",))
    with pytest.raises(ConfigError, match=r"^--first-stage is missing; accepted: the directory of a run that"):
        needing.game(TOY.presets["default"], DataInfo("ring8", point_fields(), 9, 1, "f"))


def test_options_of_sampling_are_part_of_how_a_game_samples():
    @dataclass(frozen=True)
    class Truncated(ToyConfig):
        truncation: Annotated[float, Within(0, 1), AtSampling] = 1.0

    experiment = Experiment(TOY.build, Truncated)
    config = dataclasses.replace(experiment.presets["default"], truncation=0.5)
    game = experiment.game(config, DataInfo("ring8", point_fields(), 9, 1, "f"))
    assert game.sampling.options == {"truncation": 0.5}
    assert sampling_fields(Truncated) == ("sampling_steps", "truncation")
    assert {"sampling_steps", "truncation"} <= free_fields(Truncated)
