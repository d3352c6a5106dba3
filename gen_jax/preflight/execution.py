"""Which instructions of a compiled program run, and how often: loops are counted as often as they go round.

The bound of a loop is written in its backend_config (`known_trip_count`; XLA for CPU does that), or it is found here
from the counter: its first value, what the body adds to it and what the condition compares it with (XLA for TPU leaves
it to that). A loop whose rounds nothing in the text tells, such as that of many steps a dispatch, counts as one round.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from gen_jax.preflight.hlo import CALLS, Computation, Instruction, Module


@dataclass(frozen=True)
class Executed:
    """An instruction that a device runs by itself, not as a part of a fusion.

    Attributes:
      computation: in which it stands.
      line: the instruction.
      times: how often it runs.
      loops: the loops of unknown bound in which it stands, the outermost first.
    """

    computation: Computation
    line: Instruction
    times: int
    loops: tuple[str, ...] = ()


@dataclass(frozen=True)
class Execution:
    """One run of a program, on one device.

    Attributes:
      instructions: all that run.
      unknown_loops: those of which no bound is known, counted as one round: where they come from, such as
        "jit(steps)/while".
    """

    instructions: tuple[Executed, ...]
    unknown_loops: tuple[str, ...]


def execution(module: Module, weigh: Callable[[Executed], float]) -> Execution:
    """One run of the program; of the branches of a conditional the one that weighs most."""
    unknown: list[str] = []

    def run(name: str, times: int, loops: tuple[str, ...]) -> Iterator[Executed]:
        computation = module.computations[name]
        for line in computation.instructions.values():
            if line.opcode == "while":
                rounds, inside = trip_count(module, computation, line), loops
                if rounds is None:
                    rounds, inside = 1, (*loops, line.op_name or line.name)
                    unknown.append(inside[-1])
                for part in loop_parts(line):
                    yield from run(part, times * rounds, inside)
            elif line.opcode == "conditional":
                branches = [list(run(branch, times, loops)) for branch in branch_names(line)]
                yield from max(branches, key=lambda branch: sum(weigh(each) * each.times for each in branch))
            elif line.opcode in CALLS:
                for called in line.called:
                    yield from run(called, times, loops)
            else:
                yield Executed(computation, line, times, loops)

    instructions = tuple(run(module.entry, 1, ()))
    return Execution(instructions, tuple(unknown))


def loop_parts(line: Instruction) -> tuple[str, str]:
    """The computations of a while: its body and its condition."""
    body, condition = line.attribute("body"), line.attribute("condition")
    if body is None or condition is None:
        raise ValueError(f"the loop {line.name!r} has no body or no condition")
    return body, condition


def branch_names(line: Instruction) -> list[str]:
    """The computations of a conditional."""
    listed = line.attribute("branch_computations")
    names = listed.split(",") if listed else [line.attribute("true_computation"), line.attribute("false_computation")]
    return [name.strip().lstrip("%") for name in names if name]


@dataclass(frozen=True)
class Sum:
    """An integer that is `name` plus a number; a number alone where there is no name.

    `name` is an element of the tuple that a loop carries (its index), or an instruction whose value is not known.
    """

    name: str | int | None
    number: int


Values = Mapping[int, Sum]
_SAME = ("copy", "bitcast", "convert", "reshape", "copy-start", "copy-done", "opt-barrier")


def trip_count(module: Module, outer: Computation, line: Instruction) -> int | None:
    """How often a while goes round; None where the text does not tell."""
    stated = re.search(r'"known_trip_count":\{"n":"(\d+)"', line.config)
    if stated:
        return int(stated[1])
    body, condition = (module.computations[name] for name in loop_parts(line))
    begin = list(_carried(module, outer, outer.instructions[line.operands[0]], {}))
    end = list(_carried(module, body, body.instructions[body.root], {}))
    if not begin or len(begin) != len(end):
        return None
    # What the body hands on as it is has its first value for good.
    constant = {index: value for index, value in enumerate(begin) if end[index] == Sum(index, 0)}
    end = list(_carried(module, body, body.instructions[body.root], constant))
    compared = _comparison(module, condition, constant)
    if compared is None:
        return None
    counter, direction, bound = compared
    first, step = begin[counter], end[counter]
    if step.name != counter or step.number == 0 or first.name != bound.name:
        return None
    way = bound.number - first.number
    return _rounds(direction, way, step.number)


def _rounds(direction: str, way: int, step: int) -> int | None:
    """Rounds of a counter that goes by `step` while it is LT, LE, GT, GE or NE a bound that is `way` ahead."""
    if direction in ("GT", "GE"):
        direction, way, step = {"GT": "LT", "GE": "LE"}[direction], -way, -step
    if direction == "LE":
        direction, way = "LT", way + 1
    if direction == "NE" and way % step == 0 and way // step >= 0:
        return way // step
    if direction == "LT" and step > 0:
        return max(0, -(-way // step))
    return None


def _carried(module: Module, computation: Computation, line: Instruction, constant: Values) -> Iterator[Sum]:
    """The elements of a tuple, as far as they are integers that are known."""
    if line.opcode == "tuple":
        for index, operand in enumerate(computation.operands(line)):
            leaf = operand.shape.leaf
            integer = leaf is not None and leaf.dims == () and leaf.dtype[0] in "su"
            yield (
                _value(module, computation, operand, constant, ()) if integer else Sum(f"{computation.name}/{index}", 0)
            )


def _comparison(module: Module, condition: Computation, constant: Values) -> tuple[int, str, Sum] | None:
    """The index of the counter, the direction and the bound of a condition that compares the two."""
    arguments: tuple[Sum, ...] = ()
    computation, line = condition, condition.instructions[condition.root]
    while line.opcode == "fusion":
        arguments = tuple(_value(module, computation, each, constant, arguments) for each in computation.operands(line))
        computation = module.computations[line.called[0]]
        line = computation.instructions[computation.root]
    if line.opcode != "compare":
        return None
    left, right = (_value(module, computation, each, constant, arguments) for each in computation.operands(line))
    direction = line.attribute("direction") or ""
    if not isinstance(left.name, int):
        left, right = right, left
        direction = {"LT": "GT", "LE": "GE", "GT": "LT", "GE": "LE"}.get(direction, direction)
    if not isinstance(left.name, int) or isinstance(right.name, int):
        return None
    return left.name, direction, Sum(right.name, right.number - left.number)


def _value(
    module: Module, computation: Computation, line: Instruction, constant: Values, arguments: tuple[Sum, ...]
) -> Sum:
    """What an instruction's integer is.

    Args:
      module: the program.
      computation: in which the instruction stands.
      line: the instruction.
      constant: elements of the loop's tuple that never change.
      arguments: of the computation, where it is a fusion's; none where its parameter is the loop's tuple.
    """

    def value(name: str) -> Sum:
        return _value(module, computation, computation.instructions[name], constant, arguments)

    def fused(line: Instruction, index: int | None = None) -> Sum:
        inside = module.computations[line.called[0]]
        result = inside.instructions[inside.root]
        if index is not None:
            if result.opcode != "tuple":
                return unknown
            result = inside.instructions[result.operands[index]]
        return _value(module, inside, result, {}, tuple(value(name) for name in line.operands) or (unknown,))

    unknown = Sum(f"{computation.name}/{line.name}", 0)
    if line.opcode == "constant":
        number = re.fullmatch(r"-?\d+", line.literal)
        return Sum(None, int(number[0])) if number else unknown
    if line.opcode in _SAME and line.operands:
        return value(line.operands[0])
    if line.opcode == "parameter" and arguments:
        return arguments[int(line.literal)]
    if line.opcode == "get-tuple-element":
        source, index = computation.instructions[line.operands[0]], int(line.attribute("index") or 0)
        if source.opcode == "tuple":
            return value(source.operands[index])
        if source.opcode == "parameter" and not arguments:
            return constant.get(index, Sum(index, 0))
        if source.opcode == "fusion":
            return fused(source, index)
        return unknown
    if line.opcode in ("add", "subtract"):
        left, right = (value(name) for name in line.operands)
        if line.opcode == "subtract":
            return Sum(left.name, left.number - right.number) if right.name is None else unknown
        if left.name is None or right.name is None:
            return Sum(right.name if left.name is None else left.name, left.number + right.number)
        return unknown
    return fused(line) if line.opcode == "fusion" else unknown
