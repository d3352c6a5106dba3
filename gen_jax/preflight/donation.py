"""Whether a program takes the memory of the state that it is given for the state that it returns."""

import re
from dataclasses import dataclass

from gen_jax.preflight.costs import Analysis


@dataclass(frozen=True)
class Donation:
    """What becomes of the arrays of a donated state.

    Attributes:
      arrays: how many the program takes.
      kept: the names of those whose memory is not used again.
    """

    arrays: int
    kept: tuple[str, ...]


def donation(text: str, analysis: Analysis, argument: str = "state") -> Donation:
    """What a compiled program does with the argument of that name.

    Args:
      text: what `compiled.as_text()` returns.
      analysis: of the same.
      argument: the name of the donated argument.
    """
    header = text.partition("\n")[0]
    aliases = header.partition("input_output_alias={ ")[2].partition(" }, ")[0]
    reused = {int(number) for number in re.findall(r"\((\d+), \{[\d, ]*\}, m\w+-alias\)", aliases)}
    module = analysis.module
    names = {
        int(line.literal): readable_leaf(line.op_name)
        for line in module.computations[module.entry].instructions.values()
        if line.opcode == "parameter" and re.match(rf"{argument}\b", line.op_name)
    }
    return Donation(len(names), tuple(name for number, name in sorted(names.items()) if number not in reused))


def readable_leaf(op_name: str) -> str:
    """Of "state.params['critic']['Dense_0']", "params/critic/Dense_0"."""
    parts = re.split(r"[.\[\]'\"\\]+", op_name)
    return "/".join(part for part in parts[1:] if part)
