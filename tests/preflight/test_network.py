import pytest

from gen_jax.preflight.costs import Analysis
from gen_jax.preflight.network import sent_between_slices

HANDLER = '_xla_host_transfer_handler_name="{handler}",_xla_megascale_transfer_type="{kind}"'
PROGRAM = """HloModule program, num_partitions=8

ENTRY %main (p: f32[100]) -> f32[100] {{
  %p = f32[100]{{0}} parameter(0)
  %after = token[] after-all()
  %send = (f32[100]{{0}}, u32[], token[]) send(%p, %after), channel_id=1, frontend_attributes={{{attributes}}}
  %done = token[] send-done(%send), channel_id=1, is_host_transfer=true
  ROOT %copy = f32[100]{{0}} copy(%p)
}}
"""


def program(kind, handler="xla_megascale_runtime"):
    return Analysis(PROGRAM.format(attributes=HANDLER.format(handler=handler, kind=kind)))


@pytest.mark.parametrize(
    ("kind", "slices", "times"),
    [
        ("ALL_REDUCE", 2, 1.0),
        ("ALL_REDUCE", 4, 1.5),
        ("ALL_GATHER", 4, 3.0),
        ("REDUCE_SCATTER", 4, 0.75),
        ("ONE_TO_ONE", 4, 1.0),
    ],
)
def test_sends_through_the_hosts_cross_the_network(kind, slices, times):
    assert sent_between_slices(program(kind), slices) == pytest.approx(400 * times)


def test_other_sends_do_not():
    assert sent_between_slices(program("ALL_REDUCE", handler="another"), 2) == 0
