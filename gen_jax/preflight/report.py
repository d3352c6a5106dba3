"""What a preflight finds: the programs of a run, compiled for a topology, and what each of them costs."""

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import jax

from gen_jax.config import Config
from gen_jax.data import Dataset
from gen_jax.experiment import Experiment
from gen_jax.preflight.collectives import Collective, merged, of_analysis
from gen_jax.preflight.compiled import Compiled, Memory, OutOfMemory, compile_once
from gen_jax.preflight.costs import Analysis, Costs
from gen_jax.preflight.data import described
from gen_jax.preflight.donation import Donation, donation
from gen_jax.preflight.network import sent_between_slices
from gen_jax.preflight.programs import PARTS, Setting, applies
from gen_jax.preflight.roofline import Roofline, roofline
from gen_jax.preflight.topology import Topology

Announce = Callable[[str], None]


@dataclass(frozen=True)
class ProgramReport:
    """One program, on one device unless said otherwise.

    Attributes:
      name: "train", "sample" or "evaluate".
      title: in words.
      examples: that one run handles, on all devices; of the train step, a step.
      memory: None where it does not fit.
      trouble: where it does not fit.
      costs: of a run; None where it does not fit.
      collectives: equal ones together, those that send most first.
      between_slices: bytes sent to other slices.
      donation: of the state; None where nothing is donated.
      roofline: None where it does not fit, or nothing is published of the devices.
      seconds: that compiling took, when it was compiled.
    """

    name: str
    title: str
    examples: int
    memory: Memory | None
    trouble: OutOfMemory | None
    costs: Costs | None
    collectives: tuple[Collective, ...]
    between_slices: float
    donation: Donation | None
    roofline: Roofline | None
    seconds: float

    @property
    def sent(self) -> float:
        """Bytes sent to other devices of the slice."""
        return sum((each.wire_bytes for each in self.collectives), 0.0)


@dataclass(frozen=True)
class Preflight:
    """A run on devices that it may never have.

    Attributes:
      experiment: its name.
      data: the name of the data set.
      resident: whether the data set is held on each device.
      config: of the run.
      topology: the devices.
      devices: how many.
      kind: as JAX calls them.
      available: bytes of memory that programs may use on each; None where that is not known.
      parameters: of each net.
      programs: what was compiled.
    """

    experiment: str
    data: str
    resident: bool
    config: Config
    topology: Topology
    devices: int
    kind: str
    available: int | None
    parameters: dict[str, int]
    programs: tuple[ProgramReport, ...]

    @property
    def fits(self) -> bool:
        """Whether each device has memory enough."""
        return all(program.trouble is None for program in self.programs)

    def program(self, name: str) -> ProgramReport:
        """The program of that name. Raises KeyError where it was not compiled."""
        return {program.name: program for program in self.programs}[name]

    def as_json(self) -> dict[str, Any]:
        """Everything, as JSON holds it. Bytes and FLOPs are those of one device; nothing was measured."""
        found = dataclasses.asdict(self)
        found["topology"] = {"name": self.topology.name, "slices": self.topology.slices}
        found["fits"], found["measured"] = self.fits, False
        for stored, program in zip(found["programs"], self.programs, strict=True):
            if program.memory is not None:
                stored["memory"]["total"] = program.memory.total
            if program.roofline is not None:
                derived = ("seconds", "bound", "share_of_peak")
                stored["roofline"].update({name: getattr(program.roofline, name) for name in derived})
            for line, collective in zip(stored["collectives"], program.collectives, strict=True):
                line["wire_bytes"] = collective.wire_bytes
        return found


def unannounced(what: str) -> None:
    """Says nothing."""


def preflight(
    experiment: Experiment,
    config: Config,
    topology: Topology,
    programs: Iterable[str] = tuple(PARTS),
    *,
    dataset: Dataset | None = None,
    devices: Sequence[jax.Device] | None = None,
    announce: Announce = unannounced,
) -> Preflight:
    """Compiles the programs of a run for a topology, and says what they cost there; nothing runs, no data are read.

    Args:
      experiment: the method.
      config: of the run.
      topology: the devices.
      programs: which of "train", "sample", "evaluate"; those that the method does not have are left out.
      dataset: described or real; None: what `data.described` finds for the configuration.
      devices: those of the topology, where they have been made before.
      announce: is told what is compiled next.

    Raises:
      ConfigError: the topology cannot be compiled for, or the configuration does not fit it.
    """
    experiment.check(config)
    dataset = described(config) if dataset is None else dataset
    setting = Setting(experiment, config, dataset, topology.devices() if devices is None else devices)
    # Looks at what can be wrong, before anything is compiled.
    state = setting.state
    reports = []
    for name in programs:
        if applies(name, setting.game):
            announce(PARTS[name].title)
            reports.append(examined(name, setting, topology))
    return Preflight(
        experiment=experiment.name,
        data=dataset.name,
        resident=setting.resident,
        config=config,
        topology=topology,
        devices=setting.mesh.size,
        kind=setting.mesh.devices.flat[0].device_kind,
        available=available(setting.mesh.devices.flat[0], topology),
        parameters={net: sum(leaf.size for leaf in jax.tree.leaves(tree)) for net, tree in state.params.items()},
        programs=tuple(reports),
    )


def available(device: jax.Device, topology: Topology) -> int | None:
    """Bytes of memory that programs may use on a device; None where that is not known, as of CPUs."""
    if topology.chip is not None:
        return topology.chip.usable
    stats = device.memory_stats() if device.platform != "cpu" else None
    return None if stats is None else stats.get("bytes_limit")


def examined(name: str, setting: Setting, topology: Topology) -> ProgramReport:
    """Compiles one of the programs, and takes it apart."""
    part = PARTS[name]
    examples = part.examples(setting)
    target = "" if topology.chip is None else f"{topology.name} {topology.slices}"
    compiled = compile_once(part.lower(setting), target)
    if compiled.memory is None:
        nothing = None, compiled.trouble, None, (), 0.0, None, None
        return ProgramReport(name, part.title, examples, *nothing, compiled.seconds)
    analysis = analysed(compiled, loops=name == "train" and bool(setting.program.loop))
    costs, found = analysis.costs(), of_analysis(analysis)
    between = sent_between_slices(analysis, topology.slices)
    return ProgramReport(
        name=name,
        title=part.title,
        examples=examples,
        memory=compiled.memory,
        trouble=None,
        costs=costs,
        collectives=tuple(merged(found)),
        between_slices=between,
        donation=donation(compiled.text, analysis) if part.donates else None,
        roofline=roofline(costs, found, between, topology, examples),
        seconds=compiled.seconds,
    )


def analysed(compiled: Compiled, loops: bool) -> Analysis:
    """A program taken apart; of one that loops over steps, one round of that loop."""
    whole = Analysis(compiled.text)
    steps = whole.execution.unknown_loops
    return Analysis(compiled.text, steps[0]) if loops and steps else whole
