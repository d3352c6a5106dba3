"""How often what runs: loops of known length, loops that nobody knows, branches."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from gen_jax.preflight.costs import Costs, analyse
from gen_jax.preflight.execution import execution, trip_count
from gen_jax.preflight.hlo import parse

pytestmark = pytest.mark.usefixtures("compiled_as_for_users")

X, W = jax.ShapeDtypeStruct((4, 8), jnp.float32), jax.ShapeDtypeStruct((8, 8), jnp.float32)
PRODUCT = 2 * 4 * 8 * 8


def costs(f, *args) -> Costs:
    return analyse(jax.jit(f).lower(*args).compile().as_text())


def test_loops_in_each_other_multiply():
    def f(x, w):
        def inner(carry, _):
            return jnp.tanh(carry @ w), None

        def outer(carry, _):
            return lax.scan(inner, carry + 1, None, length=5)[0] @ w, None

        return lax.scan(outer, x, None, length=7)[0]

    found = costs(f, X, W)
    assert found.matrix_flops == PRODUCT * 7 * (5 + 1)
    assert found.unknown_loops == ()


def test_a_loop_whose_bound_is_an_argument_counts_once_and_is_named():
    def f(x, w, n):
        return lax.fori_loop(0, n, lambda i, carry: lax.fori_loop(0, 3, lambda j, c: jnp.tanh(c @ w), carry), x)

    found = costs(f, X, W, jax.ShapeDtypeStruct((), jnp.int32))
    assert found.matrix_flops == 3 * PRODUCT
    assert found.unknown_loops == ("jit(f)/while",)


def test_of_the_branches_of_a_conditional_the_dearest_counts():
    def f(x, w, n):
        return lax.switch(n, [lambda x: x, lambda x: jnp.tanh(x @ w) @ w, lambda x: x @ w], x)

    assert costs(f, X, W, jax.ShapeDtypeStruct((), jnp.int32)).matrix_flops == 2 * PRODUCT


# As XLA for TPU writes loops: without saying how often they go round.
LOOP = """HloModule m

%body (b: (s32[], f32[4], s32[], s32[])) -> (s32[], f32[4], s32[], s32[]) {{
  %b = (s32[], f32[4]{{0}}, s32[], s32[]) parameter(0)
  %i = s32[] get-tuple-element(%b), index=0
  %step = s32[] {step}
  %next = s32[] {update}
  %v = f32[4]{{0}} get-tuple-element(%b), index=1
  %twice = f32[4]{{0}} add(%v, %v)
  %kept = s32[] get-tuple-element(%b), index=2
  %free = s32[] get-tuple-element(%b), index=3
  ROOT %out = (s32[], f32[4]{{0}}, s32[], s32[]) tuple(%next, %twice, %kept, %free)
}}

%compared (p: s32[], q: s32[]) -> pred[] {{
  %p = s32[] parameter(0)
  %q = s32[] parameter(1)
  ROOT %lt = pred[] compare(%p, %q), direction={direction}
}}

%condition (c: (s32[], f32[4], s32[], s32[])) -> pred[] {{
  %c = (s32[], f32[4]{{0}}, s32[], s32[]) parameter(0)
  %j = s32[] get-tuple-element(%c), index=0
  %bound = s32[] {bound}
  ROOT %go = pred[] fusion({compared}), kind=kLoop, calls=%compared
}}

ENTRY %main (x: f32[4], n: s32[]) -> f32[4] {{
  %x = f32[4]{{0}} parameter(0)
  %n = s32[] parameter(1)
  %zero = s32[] constant({first})
  %begin = s32[] {begin}
  %ten = s32[] constant(10)
  %last = s32[] add(%n, %ten)
  %state = (s32[], f32[4]{{0}}, s32[], s32[]) tuple(%begin, %x, {kept}, %n)
  %w = (s32[], f32[4]{{0}}, s32[], s32[]) while(%state), condition=%condition, body=%body
  ROOT %y = f32[4]{{0}} get-tuple-element(%w), index=1
}}
"""
PLAIN = {
    "step": "constant(1)",
    "update": "add(%i, %step)",
    "direction": "LT",
    "bound": "constant(10)",
    "compared": "%j, %bound",
    "first": "0",
    "begin": "copy(%zero)",
    "kept": "%ten",
}


@pytest.mark.parametrize(
    ("changed", "rounds"),
    [
        ({}, 10),
        ({"first": "-5"}, 15),
        ({"first": "20"}, 0),
        ({"step": "constant(3)"}, 4),
        ({"direction": "LE"}, 11),
        ({"direction": "NE", "step": "constant(2)"}, 5),
        ({"direction": "GT", "compared": "%bound, %j"}, 10),
        ({"direction": "GE", "first": "30", "step": "constant(-4)"}, 6),
        ({"direction": "GT", "first": "30", "update": "subtract(%i, %step)", "step": "constant(5)"}, 4),
        # The bound, or the step, is carried along.
        ({"bound": "get-tuple-element(%c), index=2"}, 10),
        ({"step": "get-tuple-element(%b), index=2"}, 1),
        # Where it begins is not known, but how far it goes is.
        ({"begin": "copy(%n)", "kept": "%last", "bound": "get-tuple-element(%c), index=2"}, 10),
    ],
)
def test_rounds_are_found_from_the_counter(changed, rounds):
    module = parse(LOOP.format(**{**PLAIN, **changed}))
    main = module.computations["main"]
    assert trip_count(module, main, main.instructions["w"]) == rounds
    found = execution(module, lambda executed: 0)
    assert [each.times for each in found.instructions if each.line.name == "twice"] == [rounds]
    assert found.unknown_loops == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"begin": "copy(%n)"},
        {"bound": "get-tuple-element(%c), index=3"},
        {"update": "multiply(%i, %step)"},
        {"step": "constant(0)"},
        {"step": "constant(-1)"},
        {"direction": "EQ"},
        {"direction": "NE", "step": "constant(3)"},
        {"compared": "%bound, %bound"},
    ],
)
def test_rounds_that_nothing_tells_are_not_guessed(changed):
    module = parse(LOOP.format(**{**PLAIN, **changed}))
    found = execution(module, lambda executed: 0)
    assert found.unknown_loops == ("w",)
    assert [(each.times, each.loops) for each in found.instructions if each.line.name == "twice"] == [(1, ("w",))]


def test_rounds_that_are_written_down_are_believed():
    text = LOOP.format(**{**PLAIN, "begin": "copy(%n)"})
    text = text.replace("body=%body", 'body=%body, backend_config={"known_trip_count":{"n":"42"}}')
    found = execution(parse(text), lambda executed: 0)
    assert [each.times for each in found.instructions if each.line.name == "twice"] == [42]
