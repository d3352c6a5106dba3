"""What a preflight found, as text that reads well at 80 columns."""

from collections.abc import Callable, Sequence

from rich.console import Console
from rich.text import Text

from gen_jax.preflight.advice import Advice
from gen_jax.preflight.report import Preflight, ProgramReport
from gen_jax.preflight.topology import Topology
from gen_jax.show.terminal import print_table

NONE = "–"
COLLECTIVES = 12
NAMES = 3


def in_units(value: int | float, units: Sequence[str], base: int) -> str:
    """Three digits and a unit: "1.26 GiB"."""
    unit = 0
    while abs(value) >= 0.9995 * base and unit < len(units) - 1:
        value, unit = value / base, unit + 1
    digits = 0 if unit == 0 or abs(value) >= 99.95 else 1 if abs(value) >= 9.995 else 2
    return f"{value:.{digits}f} {units[unit]}".rstrip()


def bytes_of_memory(value: int | float) -> str:
    """1.26 GiB."""
    return in_units(value, ("B", "KiB", "MiB", "GiB", "TiB"), 1024)


def bytes_moved(value: int | float) -> str:
    """1.26 GB."""
    return in_units(value, ("B", "kB", "MB", "GB", "TB"), 1000) if value else "0"


def count(value: int | float) -> str:
    """1.26 G."""
    return in_units(value, ("", "k", "M", "G", "T", "P"), 1000)


def duration(seconds: float) -> str:
    """1.26 ms."""
    return in_units(seconds * 1e9, ("ns", "µs", "ms", "s"), 1000) if seconds < 1 else f"{seconds:.2f} s"


def share(value: int | float) -> str:
    """12%."""
    if 0 < value < 0.001:
        return "<0.1%"
    return f"{value:.0%}" if value >= 0.095 or not value else f"{value:.1%}"


def unit(topology: Topology) -> str:
    """What JAX calls a device."""
    return "core" if topology.chip is not None and topology.chip.devices > 1 else "chip" if topology.chip else "device"


def print_preflight(console: Console, found: Preflight, advice: Sequence[Advice] | None = None) -> None:
    """Prints all of it.

    Args:
      console: where.
      found: what was found.
      advice: what would fit; None where nobody looked.
    """

    def say(line: str, style: str = "") -> None:
        console.print(Text(line, style=style), soft_wrap=False)

    for line in heading(found):
        say(line)
    console.print()
    head = ["", *(program.title for program in found.programs)]
    print_table(console, head, list(rows(found)))
    lines = collective_rows(found)
    if lines:
        print_table(console, ["collective", "runs", "of", "bytes", "sent", "first in"], lines)
    for note in notes(found):
        say(note)
    for program in found.programs:
        if program.trouble is not None:
            say(refusal(program, found), style="red")
    if advice is not None:
        for line in suggestions(advice, found):
            say(line)


def heading(found: Preflight) -> list[str]:
    """What was compiled, and for what."""
    topology, config = found.topology, found.config
    chip = topology.chip
    if chip is None:
        where = f"{found.devices} x {found.kind}"
    else:
        chips = found.devices // chip.devices
        cores = f", {chip.devices} cores a chip that JAX sees as devices" if chip.devices > 1 else ""
        slices = f"{topology.slices} slices of {topology.name}" if topology.slices > 1 else topology.name
        where = f"{slices} ({chips:,} chips{cores})"
    split = f", state split over {config.fsdp}" if config.fsdp > 1 else ""
    each = config.batch_size // found.devices
    nets = ", ".join(f"{net} {size:,}" for net, size in found.parameters.items())
    return [
        f"{found.experiment} on {found.data}, compiled for {where}",
        f"batch {config.batch_size:,}, {each:,} a {unit(topology)}, {config.precision}{split}",
        f"parameters: {nets}",
    ]


def rows(found: Preflight) -> list[list[str]]:
    """The rows of the large table."""
    of = unit(found.topology)
    limit = found.available

    def row(name: str, tell: Callable[[ProgramReport], str | None]) -> list[str]:
        return [name, *(tell(program) or NONE for program in found.programs)]

    def memory(tell: Callable[[ProgramReport], int]) -> Callable[[ProgramReport], str | None]:
        return lambda program: None if program.memory is None else bytes_of_memory(tell(program))

    def in_all(program: ProgramReport) -> str | None:
        if program.memory is None:
            return "too much"
        total = program.memory.total
        return bytes_of_memory(total) + (f" {share(total / limit)}" if limit else "")

    def bound(name: str) -> Callable[[ProgramReport], str | None]:
        return lambda program: None if program.roofline is None else duration(program.roofline.times[name])

    def donated(program: ProgramReport) -> str | None:
        if program.donation is None:
            return None
        reused = program.donation.arrays - len(program.donation.kept)
        return f"{reused} of {program.donation.arrays}"

    table = [
        row(f"memory of a {of}" + (f", of {bytes_of_memory(limit)}" if limit else ""), in_all),
        row("  arguments", memory(lambda program: program.memory.arguments if program.memory else 0)),
        row("  temporaries", memory(lambda program: program.memory.temporaries if program.memory else 0)),
        row(
            "  output in memory of its own",
            memory(lambda program: program.memory.output - program.memory.aliased if program.memory else 0),
        ),
        row("  the program", memory(lambda program: program.memory.code if program.memory else 0)),
        row("arrays of the state reused", donated),
        row("examples, on all", lambda program: f"{program.examples:,}"),
        row(f"FLOPs of a {of}", lambda program: None if program.costs is None else count(program.costs.flops)),
        row(
            "  of matrix products",
            lambda program: None if program.costs is None else count(program.costs.matrix_flops),
        ),
        row(
            f"bytes a {of} moves in memory",
            lambda program: None if program.costs is None else bytes_moved(program.costs.bytes),
        ),
        row(
            f"bytes a {of} sends",
            lambda program: None if program.costs is None else bytes_moved(program.sent),
        ),
    ]
    if found.topology.slices > 1:
        table.append(
            row(
                "  to other slices",
                lambda program: None if program.costs is None else bytes_moved(program.between_slices),
            )
        )
    if found.topology.chip is not None:
        table += [
            row("least time, computed", lambda p: None if p.roofline is None else duration(p.roofline.seconds)),
            row("  bound by, computed", lambda p: None if p.roofline is None else p.roofline.bound),
            row("  arithmetic, computed", bound("arithmetic")),
            row("  memory traffic, computed", bound("memory traffic")),
            row("  interconnect, computed", bound("interconnect")),
            *([row("  network, computed", bound("network"))] if found.topology.slices > 1 else []),
            row(
                "FLOPs a byte, computed",
                lambda p: None if p.roofline is None else f"{p.roofline.intensity:.3g}",
            ),
            row("share of peak, computed", lambda p: None if p.roofline is None else share(p.roofline.share_of_peak)),
            row(
                "examples/s on all, computed",
                lambda p: None if p.roofline is None else count(p.roofline.examples_per_second),
            ),
        ]
    table.append(row("compiled in", lambda program: f"{program.seconds:.0f} s"))
    return table


def collective_rows(found: Preflight) -> list[list[str]]:
    """The rows of the table of collectives, those of a program that send most first."""
    table = []
    for program in found.programs:
        for each in program.collectives[:COLLECTIVES]:
            arrays = f" of {each.arrays}" if each.arrays > 1 else ""
            table.append(
                [
                    f"{program.title}: {each.kind}{arrays} {each.dtype}",
                    f"{each.count:,}",
                    f"{each.group_size:,}",
                    bytes_moved(each.bytes),
                    bytes_moved(each.wire_bytes),
                    each.origin.rpartition("/")[2][:20],
                ]
            )
        rest = program.collectives[COLLECTIVES:]
        if rest:
            sent = bytes_moved(sum((each.wire_bytes for each in rest), 0.0))
            runs = sum(each.count for each in rest)
            table.append([f"{program.title}: {len(rest)} more", f"{runs:,}", "", "", sent, ""])
    return table


def notes(found: Preflight) -> list[str]:
    """What has to be said of the numbers."""
    lines = []
    chip = found.topology.chip
    for program in found.programs:
        if program.donation is not None and program.donation.kept:
            names = ", ".join(program.donation.kept[:NAMES])
            more = len(program.donation.kept) - NAMES
            lines.append(f"not reused: {names}" + (f" and {more} more" if more > 0 else ""))
        if program.costs is not None and program.costs.custom_calls:
            lines.append(f"{program.title}: not counted: {', '.join(program.costs.custom_calls)}")
        if not program.collectives and program.costs is not None and program.name == "sample" and found.devices > 1:
            lines.append(f"{program.title}: nothing is exchanged, so every {unit(found.topology)} draws all of them")
    if chip is not None:
        lines.append(
            f"Everything here is computed from the compiled programs, nothing is measured. A {chip.name} chip: "
            f"{count(chip.flops)}FLOP/s in bfloat16, {bytes_moved(chip.hbm_bandwidth)}/s to and from memory, "
            f"{bytes_moved(chip.outgoing(found.topology.shape))}/s to other chips. Elementwise arithmetic and "
            "latencies are left out."
        )
        if found.topology.slices > 1:
            lines.append(
                f"Between slices a chip sends {bytes_moved(chip.egress)}/s; an all-reduce of S bytes among n slices "
                "is taken to send 2 (n - 1) / n S."
            )
    else:
        lines.append("Everything here is computed from the compiled programs, nothing is measured.")
    return lines


def refusal(program: ProgramReport, found: Preflight) -> str:
    """That a program does not fit, in words."""
    trouble = program.trouble
    assert trouble is not None
    available = trouble.available or found.available
    needs = f"at least {bytes_of_memory(trouble.needed)}" if trouble.needed else "more memory than there is"
    of = f" of the {bytes_of_memory(available)} that a {unit(found.topology)} has" if available else ""
    return f"out of memory: {program.title} needs {needs}{of}"


def suggestions(advice: Sequence[Advice], found: Preflight) -> list[str]:
    """What would fit, as flags to type."""
    if not advice:
        return ["no setting that was tried would fit"]
    each = unit(found.topology)
    return ["would fit, confirmed by compiling:"] + [
        f"  {one.flags}  ({bytes_of_memory(one.memory)} of a {each})" for one in advice
    ]
