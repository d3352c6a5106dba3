import dataclasses
import json
import math
import re
from dataclasses import dataclass

import jax.numpy as jnp
import pytest

from gen_jax.config import (
    Betas,
    Config,
    Count,
    Decay,
    Period,
    Weight,
    Widths,
    Within,
    as_json,
    constrained,
    flag,
    free_fields,
    from_json,
    shown,
)
from gen_jax.errors import ConfigError


@dataclass(frozen=True)
class Example(Config):
    count: Count = 3
    decay: Decay = 0.9
    weight: Weight = 1.0
    widths: Widths = (4, 4)
    betas: Betas = (0.5, 0.999)
    note: str = "free text"
    report_every: Period = 10


@pytest.mark.parametrize(
    ("within", "accepted", "refused"),
    [
        (Within(1), [1, 1.5, 10**9], [0, 0.999, -1, math.nan, math.inf]),
        (Within(0, low_open=True), [1e-300, 5], [0, -1e-300, math.nan]),
        (Within(0, 1), [0, 0.5, 1], [-1e-9, 1 + 1e-9, math.nan]),
        (Within(0, 1, low_open=True), [1e-9, 1], [0, 1.1]),
        (Within(0, 1, high_open=True), [0, 0.999], [1, -0.1]),
        (Within(0, 1, low_open=True, high_open=True), [0.5], [0, 1]),
    ],
)
def test_interval_accepts_what_lies_in_it(within, accepted, refused):
    assert all(within.accepts(value) for value in accepted)
    assert not any(within.accepts(value) for value in refused)


@pytest.mark.parametrize(
    ("within", "text"),
    [
        (Within(1), "a number of at least 1"),
        (Within(0, low_open=True), "a number above 0"),
        (Within(1, 4096), "a number from 1 to 4096"),
        (Within(0, 2**32 - 1), "a number from 0 to 4294967295"),
        (Within(0, 1, low_open=True), "a number above 0 and at most 1"),
        (Within(0, 1, high_open=True), "a number of at least 0 and below 1"),
        (Within(0, 1, low_open=True, high_open=True), "a number above 0 and below 1"),
    ],
)
def test_interval_says_what_it_accepts(within, text):
    assert str(within) == text


def test_defaults_pass():
    Config().check()
    Example().check()


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steps": 0}, "--steps is 0; accepted: a number from 1 to 2147483647"),
        ({"steps": 2**31}, "--steps is 2147483648; accepted: a number from 1 to 2147483647"),
        ({"batch_size": 0}, "--batch-size is 0; accepted: a number of at least 1"),
        ({"learning_rate": 0.0}, "--learning-rate is 0.0; accepted: a number above 0 and at most 1"),
        ({"learning_rate": 2.0}, "--learning-rate is 2.0; accepted: a number above 0 and at most 1"),
        ({"learning_rate": math.nan}, "--learning-rate is nan; accepted: a number above 0 and at most 1"),
        ({"image_size": 0}, "--image-size is 0; accepted: a number of at least 1"),
        ({"seed": -1}, "--seed is -1; accepted: a number from 0 to 4294967295"),
        ({"seed": 2**32}, "--seed is 4294967296; accepted: a number from 0 to 4294967295"),
        ({"log_every": -1}, "--log-every is -1; accepted: a number of at least 0"),
        ({"eval_every": -1}, "--eval-every is -1; accepted: a number of at least 0"),
        ({"save_every": -1}, "--save-every is -1; accepted: a number of at least 0"),
        ({"keep": 1}, "--keep is 1; accepted: a number of at least 2"),
        ({"eval_samples": 1}, "--eval-samples is 1; accepted: a number of at least 2"),
        ({"accumulate": 0}, "--accumulate is 0; accepted: a number of at least 1"),
        ({"grid_samples": 5000}, "--grid-samples is 5000; accepted: a number from 1 to 4096"),
        ({"count": 0}, "--count is 0; accepted: a number of at least 1"),
        ({"precision": "float16"}, "--precision is float16; accepted: float32, bfloat16"),
        ({"on_nonfinite": "go on"}, "--on-nonfinite is go on; accepted: stop, rollback"),
        ({"decay": 1.0}, "--decay is 1.0; accepted: a number of at least 0 and below 1"),
        ({"weight": math.inf}, "--weight is inf; accepted: a number of at least 0"),
        ({"widths": (4, 0)}, "--widths is 4 0; accepted: a number of at least 1"),
        ({"betas": (0.5, 1.0)}, "--betas is 0.5 1.0; accepted: a number of at least 0 and below 1"),
        ({"betas": (-0.1, 0.9)}, "--betas is -0.1 0.9; accepted: a number of at least 0 and below 1"),
    ],
)
def test_value_out_of_range_is_refused_with_flag_value_and_what_is_accepted(changes, text):
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        dataclasses.replace(Example(), **changes).check()


@pytest.mark.parametrize(
    "changes",
    [
        {"steps": 2**31 - 1},
        {"learning_rate": 1.0},
        {"seed": 2**32 - 1},
        {"log_every": 0, "eval_every": 0, "save_every": 0},
        {"image_size": None},
        {"decay": 0.0, "weight": 0.0, "widths": (), "betas": (0.0, 0.0)},
    ],
)
def test_value_at_the_edge_of_its_range_passes(changes):
    dataclasses.replace(Example(), **changes).check()


def test_every_number_has_a_range():
    ranged = {name for name, _, _ in constrained(dataclasses.replace(Example(), image_size=1))}
    numbers = {
        f.name for f in dataclasses.fields(Example) if isinstance(getattr(Example(), f.name), int | float | tuple)
    }
    switches_and_names = {"skip_bad_images", "reproducible", "remat", "distributed", "report", "eval_metrics"}
    assert ranged == (numbers - switches_and_names) | {"image_size"}


def test_free_fields_are_those_that_leave_the_learning_alone():
    free = {
        "data_dir",
        "run_dir",
        "preset",
        "steps",
        "log_every",
        "eval_every",
        "eval_metrics",
        "eval_samples",
        "save_every",
        "keep",
        "keep_best",
        "on_nonfinite",
        "fsdp",
        "remat",
        "distributed",
        "report",
        "grid_samples",
    }
    assert free_fields(Config) == free
    assert free_fields(Example) == free | {"report_every"}


def test_configuration_survives_json():
    config = Example(widths=(7, 8, 9), image_size=16, data="mnist", learning_rate=0.1, skip_bad_images=True)
    stored = json.loads(json.dumps(as_json(config)))
    assert stored["widths"] == [7, 8, 9]
    assert from_json(Example, stored) == config


def test_stored_fields_that_are_gone_are_left_out_and_new_ones_take_their_default():
    stored = as_json(Example(count=5))
    del stored["decay"]
    assert from_json(Example, {**stored, "gone": 1}) == Example(count=5)


@dataclass(frozen=True)
class Redeclared(Example):
    steps: int = 7
    log_every: int | None = 3
    learning_rate: float = 0.5
    decay: float = 0.1
    precision: str = "bfloat16"
    widths: tuple[int, ...] = (8,)


def test_another_default_keeps_what_the_field_accepts_and_whether_it_is_free():
    Redeclared().check()
    assert (Redeclared().steps, Redeclared().widths) == (7, (8,))
    assert free_fields(Redeclared) == free_fields(Example)
    before = {name: interval for name, _, interval in constrained(Example(log_every=3))}
    assert {name: interval for name, _, interval in constrained(Redeclared())} == before


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"steps": 0}, "--steps is 0; accepted: a number from 1 to 2147483647"),
        ({"decay": 1.0}, "--decay is 1.0; accepted: a number of at least 0 and below 1"),
        ({"precision": "float16"}, "--precision is float16; accepted: float32, bfloat16"),
        ({"log_every": -1}, "--log-every is -1; accepted: a number of at least 0"),
    ],
)
def test_another_default_is_no_way_around_the_check(changes, text):
    with pytest.raises(ConfigError, match=f"^{re.escape(text)}$"):
        dataclasses.replace(Redeclared(), **changes).check()


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_dtype_is_that_of_the_precision(precision):
    assert Config(precision=precision).dtype == jnp.dtype(precision)


def test_names_and_values_are_shown_as_they_are_typed():
    assert flag("learning_rate") == "--learning-rate"
    assert [shown(value) for value in ((1, 2), [1, 2], 0.5, "x", None)] == ["1 2", "1 2", "0.5", "x", "None"]
