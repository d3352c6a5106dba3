"""Ways to damage saved steps, and what two ways of reading make of them: ours and, as a control, plain Orbax.

What comes back must be, bit by bit, a state that was saved as that step, and no older than the newest step that was
left untouched. `mutations.py` does many of these.

    PYTHONPATH=. python tests/soak/damage.py BASE FIRST COUNT SEED

prints an outcome a line, of mutations of the steps in BASE, which it saves there first where BASE is empty.
"""

import contextlib
import json
import logging
import os
import random
import shutil
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import orbax.checkpoint as ocp

from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.state import State, leaves_by_name
from gen_jax.training.storage import let_go

STEPS = (10, 20, 30)
IDENTITY = {"run": "this one"}


def state_of(step, run=0):
    """A state like that of a training run, as NumPy arrays; another for each step and run."""
    rng = np.random.default_rng([run, step])
    nets = {
        "encoder": {"dense": {"kernel": rng.normal(size=(24, 16)), "bias": rng.normal(size=16)}, "empty": {}},
        "decoder": {"conv": {"kernel": rng.normal(size=(3, 3, 4, 8))}, "scale": rng.normal(size=())},
    }
    params = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float32), nets)
    params["decoder"]["half"] = jnp.asarray(rng.normal(size=(8, 8)), jnp.bfloat16)
    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))
    moments = jax.tree.map(
        lambda leaf: leaf + jnp.asarray(rng.normal(size=leaf.shape), leaf.dtype), optimizer.init(params)
    )
    state = State(
        step=jnp.int32(step),
        params=params,
        variables={"encoder": {"batch_stats": {"mean": jnp.asarray(rng.normal(size=16), jnp.float32)}}, "decoder": {}},
        opt_state={"player": jax.tree.map(lambda leaf: jnp.asarray(leaf), moments)},
        averages={"decoder": params["decoder"]},
        carry={"pool": jnp.asarray(rng.integers(0, 256, (4, 6)), jnp.uint8), "on": jnp.bool_(step % 20), "none": None},
    )
    return jax.tree.map(np.asarray, state)


def like():
    """What is asked for when a state is restored."""
    sharding = jax.sharding.SingleDeviceSharding(jax.devices()[0])
    return jax.tree.map(
        lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state_of(STEPS[0])
    )


def same(found, saved):
    """Whether two states have the same leaves, to the bit, as NumPy sees them."""
    found, saved = ({name: np.asarray(leaf) for name, leaf in leaves_by_name(tree).items()} for tree in (found, saved))
    return found.keys() == saved.keys() and all(
        a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
        for a, b in ((found[name], saved[name]) for name in saved)
    )


def prepare(directory):
    """Saves the steps in `directory`/this, and those of another run in `directory`/other."""
    for name, run, steps in (("this", 0, STEPS), ("other", 1, (*STEPS, 40))):
        identity = IDENTITY if run == 0 else {"run": name}
        checkpoints = Checkpoints(Path(directory) / name, keep=len(steps), identity=identity)
        for step in steps:
            checkpoints.save(step, jax.tree.map(jnp.asarray, state_of(step, run)))
        checkpoints.wait()
        checkpoints.close()


def files_of(directory):
    """All files below a directory, in an order that does not depend on their random names."""
    return sorted(
        (p for p in directory.rglob("*") if p.is_file()), key=lambda p: (str(p.parent), p.stat().st_size, p.name)
    )


def a_file(rng, directory):
    """One of the files, half of the time one of the larger."""
    files = [path for path in files_of(directory) if path.stat().st_size]
    return rng.choice(sorted(files, key=lambda path: -path.stat().st_size)[:3] if rng.random() < 0.5 else files)


def flip_bits(rng, directory, step):
    for _ in range(rng.choice((1, 1, 1, 4, 64))):
        path = a_file(rng, directory / str(step))
        data = bytearray(path.read_bytes())
        data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
        path.write_bytes(data)
    return {step}


def truncate(rng, directory, step):
    path = a_file(rng, directory / str(step))
    os.truncate(path, rng.choice((0, rng.randrange(path.stat().st_size))))
    return {step}


def overwrite(rng, directory, step):
    path = a_file(rng, directory / str(step))
    data = bytearray(path.read_bytes())
    start = rng.randrange(len(data))
    length = min(len(data) - start, rng.choice((1, 8, 512)))
    data[start : start + length] = rng.choice((bytes(length), rng.randbytes(length)))
    path.write_bytes(data)
    return {step}


def delete_file(rng, directory, step):
    a_file(rng, directory / str(step)).unlink()
    return {step}


def delete_directory(rng, directory, step):
    shutil.rmtree(rng.choice([p for p in sorted((directory / str(step)).rglob("*")) if p.is_dir()]))
    return {step}


def empty_directory(rng, directory, step):
    shutil.rmtree(directory / str(step))
    (directory / str(step)).mkdir()
    return {step}


def empty_newer_step(rng, directory, step):
    (directory / str(max(STEPS) + rng.randrange(1, 1000))).mkdir()
    return set()


def exchange(one, two):
    """Exchanges two files or directories."""
    aside = one.with_name(one.name + "-aside")
    one.rename(aside)
    two.rename(one)
    aside.rename(two)


def swap_within(rng, directory, step):
    exchange(*rng.sample(files_of(directory / str(step)), 2))
    return {step}


def swap_between(rng, directory, step):
    other = rng.choice([s for s in STEPS if s != step])
    number = rng.randrange(min(len(files_of(directory / str(s))) for s in (step, other)))
    exchange(*(files_of(directory / str(s))[number] for s in (step, other)))
    return {step, other}


def swap_items(rng, directory, step):
    other, item = rng.choice([s for s in STEPS if s != step]), rng.choice(("state", "metadata"))
    exchange(directory / str(step) / item, directory / str(other) / item)
    return {step, other}


def swap_steps(rng, directory, step):
    other = rng.choice([s for s in STEPS if s != step])
    exchange(directory / str(step), directory / str(other))
    return {step, other}


def another_run(rng, directory, step):
    source = rng.choice((step, 40))
    shutil.rmtree(directory / str(source), ignore_errors=True)
    shutil.copytree(directory.parent.parent / "other" / str(source), directory / str(source))
    return {source}


def another_runs_state(rng, directory, step):
    shutil.rmtree(directory / str(step) / "state")
    shutil.copytree(directory.parent.parent / "other" / str(step) / "state", directory / str(step) / "state")
    return {step}


def renamed(rng, directory, step):
    (directory / str(step)).rename(directory / str(max(STEPS) + rng.randrange(1, 1000)))
    return {step}


MUTATIONS = (
    flip_bits,
    flip_bits,
    flip_bits,
    flip_bits,
    truncate,
    truncate,
    overwrite,
    overwrite,
    delete_file,
    delete_file,
    delete_directory,
    empty_directory,
    empty_newer_step,
    swap_within,
    swap_within,
    swap_between,
    swap_between,
    swap_items,
    swap_steps,
    another_run,
    another_runs_state,
    renamed,
)


def checked(directory, touched):
    """What our own reading makes of a damaged directory: "newest", "older", or what was wrong."""
    present = {int(path.name) for path in directory.iterdir()}
    untouched = max(set(STEPS) - touched)
    checkpoints = Checkpoints(directory, keep=3, identity=IDENTITY)
    try:
        found = checkpoints.restore_newest(like())
        if found is None:
            return "WRONG: a fresh start"
        step, state = found
        if step not in STEPS or not same(state, state_of(step)):
            return f"WRONG: silently, step {step}"
        if step < untouched:
            return f"WRONG: step {step} instead of {untouched}"
        if checkpoints.latest() != step:
            return f"WRONG: step {checkpoints.latest()} was not set aside"
        return "newest" if step == max(present) else "older"
    except Exception as error:
        return f"WRONG: {type(error).__name__}: {str(error)[:200]}"
    finally:
        checkpoints.close()


def control(directory):
    """What plain Orbax makes of it: "right", "wrong" or "raised"."""
    handlers = {"state": ocp.StandardCheckpointHandler(), "metadata": ocp.JsonCheckpointHandler()}
    try:
        manager = ocp.CheckpointManager(directory, item_handlers=handlers)
        with contextlib.closing(manager):
            step = manager.latest_step()
            items = ocp.args.Composite(state=ocp.args.StandardRestore(vars(like())))
            state = State(**manager.restore(step, args=items)["state"])
            return "right" if step in STEPS and same(state, state_of(step)) else "wrong"
    except Exception as error:
        let_go(error)
        return "raised"


def mutate(base, index, seed):
    """Does one mutation in a copy below `base`. Returns its name, and the outcomes of both ways of reading."""
    rng = random.Random(f"{seed}-{index}")
    directory = Path(base) / f"mutation-{index}" / "checkpoints"
    directory.parent.mkdir()
    try:
        shutil.copytree(Path(base) / "this", directory)
        # Twice as often the newest, which is what would be restored.
        mutation, step = rng.choice(MUTATIONS), rng.choice((*STEPS, *[max(STEPS)] * 3))
        touched = mutation(rng, directory, step)
        # Read first by the control, for ours moves what is damaged.
        plain = control(directory)
        return mutation.__name__, checked(directory, touched), plain
    finally:
        shutil.rmtree(directory.parent, ignore_errors=True)


if __name__ == "__main__":
    # Orbax says a lot of what it trips over.
    logging.disable(logging.CRITICAL)
    base, first, count, seed = sys.argv[1], *map(int, sys.argv[2:])
    if not any(Path(base).iterdir()):
        prepare(base)
    for index in range(first, first + count):
        print(json.dumps(mutate(base, index, seed)), flush=True)
