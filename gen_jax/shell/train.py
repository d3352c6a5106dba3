"""`python -m experiments.NAME`: trains, or continues, the run that a command line describes."""

import sys
import traceback
from collections.abc import Sequence

from gen_jax.errors import GenJaxError, Preempted
from gen_jax.experiment import Experiment, parse
from gen_jax.host.cpu_devices import split_the_cpu
from gen_jax.shell.ending import exit_with, nothing_to_save


def main(experiment: Experiment, arguments: Sequence[str] | None = None) -> None:
    """The entry point of `python -m experiments.NAME`: trains, or continues, what the command line describes."""
    with nothing_to_save():
        run(experiment, arguments)


def run(experiment: Experiment, arguments: Sequence[str] | None) -> None:
    """What `main` does; ends the program unless all went well."""
    from gen_jax.training import distributed

    try:
        config = parse(experiment, arguments)
        experiment.check(config)
        distributed.initialize(config.distributed)
        # What follows imports everything; `--help` and a mistyped flag need not wait for it.
        from gen_jax.host.compilation_cache import keep_compiled_programs
        from gen_jax.reports.report import report_of
        from gen_jax.run.directory import RunDirectory, default_run_dir
        from gen_jax.run.train import train_run

        keep_compiled_programs()
        # JAX must know before anything is built; a run that does without parts uses the first device alone.
        noted = RunDirectory(config.run_dir or default_run_dir(experiment.name, config.data)).host()
        split_the_cpu(max(2, noted["cpu_parts"] if noted else 1), required=config.reproducible)
        train_run(experiment, config, write_report=report_of)
        distributed.leave(0)
    except Preempted as error:
        if distributed.is_leader():
            print(error, flush=True)
        distributed.leave(error.exit_code)
        sys.exit(error.exit_code)
    except GenJaxError as error:
        exit_with(error)
    except SystemExit:
        raise
    except BaseException:
        if distributed.joined():
            traceback.print_exc()
            distributed.leave(1)
        raise
