import jax.numpy as jnp
import pytest

from gen_jax.training.pace import Pace


class Device:
    """A device whose every step takes so many seconds, and the pace at which it is fed."""

    def __init__(self, seconds):
        self.seconds, self.now, self.waiting = seconds, 0.0, []
        self.pace = Pace(lambda: self.now)

    def dispatch(self, steps=None):
        """One dispatch, after which all before it are finished."""
        steps = steps or self.pace.steps
        self.now += sum(self.waiting)
        self.waiting = [steps * self.seconds]
        self.pace.dispatched(jnp.zeros(()), steps)
        return steps

    def steps_of(self, dispatches):
        return [self.dispatch() for _ in range(dispatches)]


def test_dispatches_double_until_they_take_a_second():
    # 1/128 s is exact in floating point.
    assert Device(1 / 128).steps_of(14) == [1, 1, 1, 2, 4, 8, 16, 32, 64, 128, 128, 128, 128, 128]


@pytest.mark.parametrize("seconds", [1.0, 1.5, 60.0])
def test_slow_steps_are_dispatched_one_by_one(seconds):
    assert Device(seconds).steps_of(6) == [1] * 6


def test_a_device_that_slows_down_gets_less_at_once():
    device = Device(1 / 64)
    assert device.steps_of(12)[-1] == 64
    device.seconds = 1 / 4
    assert device.steps_of(3) == [64, 64, 4]


def test_a_dispatch_that_was_cut_short_says_nothing_else_than_others():
    device = Device(1 / 64)
    device.steps_of(12)
    device.dispatch(3)
    assert device.steps_of(3) == [64, 64, 64]


class Result:
    """An array that is waited for."""

    def __init__(self, name, waited):
        self.name, self.waited = name, waited

    def block_until_ready(self):
        self.waited.append(self.name)


def test_the_dispatch_before_is_waited_for_and_this_one_not():
    pace, waited = Pace(), []
    for name in "abc":
        pace.dispatched([Result(name, waited)], 1)
    assert waited == ["a", "b"]
