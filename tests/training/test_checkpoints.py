import contextlib
import dataclasses
import errno
import json
import math
import os
import re
import shutil

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import resident, start, toy_game

from gen_jax.errors import ConfigError, DamagedCheckpoint, StorageError
from gen_jax.training import Aux, Player, Program, Turn, digest, stored_step
from gen_jax.training.checkpoints import Checkpoints
from gen_jax.training.retention import Best, best_step, kept_steps
from gen_jax.training.sharding import make_mesh, replicated, split_batch
from gen_jax.training.state import leaves_by_name
from gen_jax.training.stored_step import checksum, misfits

NLL = Best("nll", larger=False)
POINTS = np.random.default_rng(0).normal(size=(16, 2)).astype(np.float32)


def many_dtypes_game(width=64):
    """Leaves of all kinds: bfloat16 weights, integer counts, bytes in the carry, and an optimizer with both."""

    def init(key, example):
        weights = jax.random.normal(key, (width, width))
        return {
            "a": {"params": {"w": weights, "half": weights[0].astype(jnp.bfloat16)}, "stats": {"n": jnp.int32(3)}},
            "b": {"params": {}},
        }

    def loss(params, variables, batch, key, now):
        w, half = params["a"]["w"], params["a"]["half"].astype(jnp.float32)
        error = ((w @ half - jax.random.normal(key, (width,))) ** 2).mean() + batch["x"].sum(-1)
        return error, Aux(variables={"a": {"stats": {"n": variables["a"]["stats"]["n"] + 1}}})

    optimizer = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(optax.linear_schedule(0.1, 0.0, 100)))
    carry = {"pool": np.arange(6, dtype=np.uint8), "k": 0.25, "nothing": None, "pair": (np.int32(1), np.bool_(True))}
    return toy_game(
        init,
        {"a": Player(("a", "b"), loss, optimizer)},
        (Turn(("a",), carry_update=lambda carry, metrics, outputs, key: {**carry, "k": carry["k"] * 0.9}),),
        averages={"a": optax.constant_schedule(0.9)},
        carry=carry,
    )


STATE = start(many_dtypes_game(4))


def placed(state, devices=1):
    return jax.device_put(state, replicated(make_mesh(jax.devices()[:devices])))


def at(step):
    """A state of that step, which differs from those of others."""
    return placed(
        dataclasses.replace(
            STATE, step=jnp.int32(step), averages=jax.tree.map(lambda w: w + 0.125 * step, STATE.averages)
        )
    )


@pytest.fixture
def opened(tmp_path):
    """Opens checkpoints in a directory; all are closed in the end. What they report is in `opened.said`."""
    with contextlib.ExitStack() as stack:

        def make(directory=tmp_path / "checkpoints", **options):
            checkpoints = Checkpoints(directory, **{"report": make.said.append, **options})
            stack.callback(checkpoints.close)
            return checkpoints

        make.said = []
        make.directory = tmp_path / "checkpoints"
        yield make


def saved(opened, *steps, **options):
    """Checkpoints with these steps on disk."""
    checkpoints = opened(**options)
    for step in steps:
        checkpoints.save(step, at(step))
    checkpoints.wait()
    return checkpoints


def restored(checkpoints):
    """The step that comes back, after its state was compared with what was saved."""
    step, state = checkpoints.restore_newest(at(0))
    assert digest(state) == digest(at(step))
    return step


def test_there_is_nothing_in_the_beginning(opened):
    checkpoints = opened()
    assert checkpoints.latest() is None
    assert checkpoints.steps() == []
    assert checkpoints.restore_newest(at(0)) is None


def test_who_only_reads_creates_nothing(opened):
    assert opened(create=False).restore_newest(at(0)) is None
    assert not opened.directory.exists()


def test_fewer_than_two_are_not_kept(opened):
    with pytest.raises(ValueError, match=r"^keep is 1; accepted: at least 2$"):
        opened(keep=1)


@pytest.mark.parametrize(("saved_on", "restored_on"), [(1, 1), (1, 8), (8, 1), (4, 2)])
def test_a_state_comes_back_to_the_bit_on_the_devices_that_are_asked_for(opened, saved_on, restored_on):
    state = placed(at(3), saved_on)
    checkpoints = opened()
    checkpoints.save(3, state)
    sharding = replicated(make_mesh(jax.devices()[:restored_on]))
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=sharding), state)
    checkpoints.close()
    step, found = opened().restore_newest(like)
    assert (step, digest(found)) == (3, digest(state))
    assert {str(leaf.dtype) for leaf in jax.tree.leaves(found)} == {"float32", "bfloat16", "int32", "uint8", "bool"}
    assert jax.tree.structure(found) == jax.tree.structure(state)
    assert all(leaf.sharding == sharding for leaf in jax.tree.leaves(found))
    assert jax.tree.all(jax.tree.map(lambda a, b: np.array_equal(a, b), found, state))


@pytest.mark.parametrize(("saved_on", "restored_on"), [(4, 1), (1, 4), (4, 2)])
def test_sharded_leaves_come_back_on_another_mesh(opened, saved_on, restored_on):
    def spread(devices):
        mesh = make_mesh(jax.devices()[:devices])

        def sharding(leaf):
            return split_batch(mesh) if leaf.ndim and leaf.shape[0] % devices == 0 else replicated(mesh)

        return jax.tree.map(lambda leaf: jax.device_put(leaf, sharding(leaf)), at(3))

    checkpoints = opened()
    checkpoints.save(3, spread(saved_on))
    checkpoints.wait()
    like = spread(restored_on)
    found = checkpoints.restore(3, like)
    assert digest(found) == digest(at(3))
    assert found.params["a"]["w"].sharding == like.params["a"]["w"].sharding
    assert len(found.params["a"]["w"].sharding.device_set) == restored_on


def test_the_newest_steps_are_kept(opened):
    checkpoints = opened(keep=2)
    for step in (1, 5, 9):
        checkpoints.save(step, at(step))
        assert checkpoints.latest() == step
    checkpoints.wait()
    assert checkpoints.steps() == [5, 9]
    assert {path.name for path in opened.directory.iterdir()} == {"5", "9"}
    assert [int(checkpoints.restore(step, at(0)).step) for step in (5, 9)] == [5, 9]


def test_the_best_step_is_kept_as_well_also_across_restarts(opened):
    values = {1: 5.0, 2: 3.0, 3: 4.0, 4: None, 5: math.nan, 6: 3.5, 7: 2.0, 8: 9.0, 9: 9.0, 10: 9.0}
    kept = {}
    for step, value in values.items():
        # Each step is saved by another process, so to say.
        checkpoints = opened(best=NLL)
        checkpoints.save(step, at(step), {} if value is None else {"nll": value, "fid": -value})
        checkpoints.close()
        kept[step] = checkpoints.steps()
    assert kept == {
        1: [1],
        2: [1, 2],
        3: [2, 3],
        4: [2, 3, 4],
        5: [2, 4, 5],
        6: [2, 5, 6],
        7: [6, 7],
        8: [7, 8],
        9: [7, 8, 9],
        10: [7, 9, 10],
    }


def test_what_is_best_goes_by_the_name_of_the_metric():
    metrics = {1: {"elbo": -3.0, "fid": 2.0}, 2: {"elbo": -1.0, "fid": 1.0}, 3: {"elbo": -2.0, "fid": 3.0}, 4: {}}
    assert best_step(metrics, Best("elbo", larger=True)) == 2
    assert (
        best_step({step: {"fid": found.get("fid")} for step, found in metrics.items()}, Best("fid", larger=False)) == 2
    )
    assert (
        best_step(
            {1: {"modes": 3.0}, 2: {"modes": 8.0}, 3: {"modes": 8.0}, 4: {"modes": 1.0}}, Best("modes", larger=True)
        )
        == 3
    )
    assert best_step({1: {"kid": math.inf}, 2: {"kid": None}, 3: {}}, Best("kid", larger=False)) is None
    assert kept_steps(metrics, 2, Best("fid", larger=False)) == {2, 3, 4}
    assert kept_steps(metrics, 3, None) == {2, 3, 4}
    assert kept_steps({}, 2, Best("fid", larger=False)) == set()


def test_a_step_that_was_just_saved_is_kept_even_if_others_have_larger_numbers(opened):
    assert saved(opened, 9, 12, 5).steps() == [5, 9, 12]


def test_a_step_that_is_saved_is_left_alone(opened):
    checkpoints = saved(opened, 2)
    checkpoints.save(2, dataclasses.replace(at(2), params=at(3).params, averages=at(3).averages))
    checkpoints.wait()
    assert restored(checkpoints) == 2


def test_a_state_is_not_saved_as_that_of_another_step(opened):
    with pytest.raises(ValueError, match=r"^a state of step 3 was to be saved as that of step 2$"):
        opened().save(2, at(3))


def test_a_state_that_does_not_fit_is_refused_with_the_names_of_its_leaves(opened):
    checkpoints = saved(opened, 1)
    state = at(1)
    wanted = dataclasses.replace(
        state,
        params={"a": {"w": state.params["a"]["w"].astype(jnp.bfloat16), "bias": jnp.zeros(3)}, "b": {}},
        carry={**state.carry, "pool": jnp.zeros((2, 3), jnp.uint8)},
    )
    for restore in (lambda: checkpoints.restore(1, wanted), lambda: checkpoints.restore_newest(wanted)):
        with pytest.raises(ConfigError) as error:
            restore()
        before, _, found = str(error.value).partition(" does not fit: ")
        assert re.fullmatch(r"the checkpoint of step 1 in .*checkpoints", before)
        assert found.split("; ") == [
            "carry/pool is uint8[6], not uint8[2,3]",
            "it has no params/a/bias",
            "params/a/half is not wanted",
            "params/a/w is float32[4,4], not bfloat16[4,4]",
        ]
    # A mistake of the user's is no damage.
    assert checkpoints.steps() == [1]


def test_misfits_of_trees_that_fit_are_none():
    assert misfits({"a": "float32[2,3]", "b": "int32[]"}, {"b": "int32[]", "a": "float32[2,3]"}) == []


def test_a_state_may_be_donated_as_soon_as_save_returns(opened):
    checkpoints = opened()
    game, mesh = many_dtypes_game(width=512), make_mesh(jax.devices()[:1])
    program = Program(game, resident(game, POINTS, 8), mesh, 0)
    state, step = program.advance(placed(start(game)), 0, 1)[:2]
    expected = {}
    for _ in range(2):
        expected[step] = digest(state)
        checkpoints.save(step, state)
        # The buffers that are being written in the background are given away and reused at once, many times.
        for _ in range(10):
            state, step, _ = program.advance(state, step, 1)
    checkpoints.wait()
    like = placed(start(game))
    assert len(set(expected.values())) == 2
    assert {step: digest(checkpoints.restore(step, like)) for step in checkpoints.steps()} == expected


def test_names_of_saved_leaves_are_those_of_the_state(opened):
    saved(opened, 1)
    metadata = json.loads((opened.directory / "1" / "metadata" / "metadata").read_text())
    # Tuples, optax's named tuples and dictionaries alike: nothing is missing and nothing is too much.
    assert metadata["leaves"].keys() == leaves_by_name(at(1)).keys()
    assert {"opt_state/a/1/0/count", "carry/pair/1"} <= metadata["leaves"].keys()
    assert metadata["step"] == 1


def files(directory):
    return sorted((p for p in directory.rglob("*") if p.is_file()), key=lambda p: -p.stat().st_size)


def spoil_a_leaf(step):
    """Metadata of another value of one leaf: as if Orbax had restored wrong values in silence."""
    path = step / "metadata" / "metadata"
    metadata = json.loads(path.read_text())
    leaves = {**metadata["leaves"], "params/a/w": "float32[4,4] 0123456789abcdef"}
    metadata = {**metadata, "leaves": leaves}
    path.write_text(json.dumps({**metadata, "checksum": checksum(metadata)}))


def spoil_metadata(step):
    path = step / "metadata" / "metadata"
    path.write_text(path.read_text().replace("params/a/w", "params/a/v"))


def empty(step):
    shutil.rmtree(step)
    step.mkdir()


def truncate_all(step):
    for path in files(step / "state"):
        os.truncate(path, path.stat().st_size // 2)


def flip_metadata_bit(step):
    path = step / "metadata" / "metadata"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)


DAMAGES = {
    "empty": (empty, "it has no metadata"),
    "no metadata": (lambda step: shutil.rmtree(step / "metadata"), "it has no metadata"),
    "no state": (lambda step: shutil.rmtree(step / "state"), "FileNotFoundError|ValueError|KeyError"),
    "no metadata file": (
        lambda step: (step / "metadata" / "metadata").unlink(),
        "FileNotFoundError: File .* not found",
    ),
    "cut metadata": (lambda step: os.truncate(step / "metadata" / "metadata", 9), "JSONDecodeError: "),
    "other metadata": (spoil_metadata, "its metadata are not what was written"),
    "a bit in the metadata": (flip_metadata_bit, "."),
    "files cut": (truncate_all, "[A-Z]"),
    "a file gone": (lambda step: files(step / "state")[0].unlink(), "[A-Z]"),
    "a file for a directory": (lambda step: (shutil.rmtree(step / "state"), (step / "state").touch()), "[A-Z]"),
    "wrong values": (spoil_a_leaf, "wrong values in params/a/w$"),
    "another step": (
        lambda step: (shutil.rmtree(step), shutil.copytree(step.parent / "5", step)),
        "it is that of step 5$",
    ),
    "the state of another step": (
        lambda step: (shutil.rmtree(step / "state"), shutil.copytree(step.parent / "5" / "state", step / "state")),
        "wrong values in averages/a/half, averages/a/w, step$",
    ),
}


# Of each kind of finding one: nothing there, nothing that can be read, and values that are not those saved.
FOUND_QUICKLY = {"empty", "cut metadata", "wrong values"}


@pytest.mark.parametrize(
    "damage", [pytest.param(name, marks=() if name in FOUND_QUICKLY else pytest.mark.slow) for name in DAMAGES]
)
def test_a_damaged_step_is_found_out_set_aside_and_reported(opened, damage):
    saved(opened, 5, 9).close()
    spoil, why = DAMAGES[damage]
    spoil(opened.directory / "9")
    checkpoints = opened()
    with pytest.raises(DamagedCheckpoint, match=rf"^the checkpoint of step 9 in .*checkpoints is damaged: ({why})"):
        checkpoints.restore(9, at(0))
    # Who only reads passes it over.
    assert restored(opened(create=False)) == 5
    assert checkpoints.steps() == [5, 9]
    assert opened.said.pop().endswith(": passed over")
    assert restored(checkpoints) == 5
    assert checkpoints.steps() == [5]
    aside = opened.directory.parent / "damaged" / "9"
    assert aside.exists()
    assert len(opened.said) == 1
    why = why.rstrip("$")
    assert re.fullmatch(rf"the checkpoint of step 9 is damaged \(({why}).*\): moved to {aside}", opened.said[0])
    # The step can be saved again.
    checkpoints.save(9, at(9))
    checkpoints.wait()
    assert restored(checkpoints) == 9


def test_a_directory_of_a_larger_number_is_no_newer_step(opened):
    saved(opened, 5, 9)
    for count in range(2):
        (opened.directory / "70").mkdir()
        assert restored(opened()) == 9
        assert (opened.directory.parent / "damaged" / ("70" if count == 0 else "70-2")).exists()


def test_a_renamed_step_is_found_out(opened):
    saved(opened, 5, 9)
    (opened.directory / "9").rename(opened.directory / "12")
    assert restored(opened()) == 5
    assert "(it is that of step 9)" in opened.said[0]


def test_a_step_of_another_run_is_found_out(opened, tmp_path):
    other = opened(tmp_path / "other", identity={"seed": 2, "widths": (3, 4)})
    other.save(9, at(9))
    other.close()
    saved(opened, 5, identity={"seed": 1, "widths": (3, 4)}).close()
    shutil.copytree(tmp_path / "other" / "9", opened.directory / "9")
    checkpoints = opened(identity={"seed": 1, "widths": [3, 4]})
    # Without an identity nothing is compared.
    assert restored(opened(create=False)) == 9
    assert restored(checkpoints) == 5
    assert "(it belongs to another run)" in opened.said[0]


def test_when_nothing_is_intact_nothing_is_moved_and_nothing_begins_anew(opened):
    checkpoints = saved(opened, 5, 9)
    empty(opened.directory / "9")
    spoil_metadata(opened.directory / "5")
    with pytest.raises(ConfigError) as error:
        checkpoints.restore_newest(at(0))
    assert str(error.value) == (
        f"no checkpoint in {opened.directory} is intact (step 9: it has no metadata; "
        "step 5: its metadata are not what was written); to start over, move it away"
    )
    assert checkpoints.steps() == [5, 9]
    assert opened.said == []


@pytest.mark.parametrize("number", [errno.EACCES, errno.EIO, errno.ESTALE])
@pytest.mark.parametrize("kind", ["python", "tensorstore"])
def test_a_disk_that_does_not_answer_is_no_damage(opened, monkeypatch, number, kind):
    checkpoints = saved(opened, 5, 9)

    def refuse(*args, **kwargs):
        if kind == "python":
            raise OSError(number, os.strerror(number))
        raise ValueError(f"DATA_LOSS: Error reading: {os.strerror(number)} [os_error_code='{number}']")

    import orbax.checkpoint as ocp

    monkeypatch.setattr(ocp.StandardCheckpointHandler, "restore", refuse)
    with pytest.raises(StorageError, match=rf"^{opened.directory}/9 cannot be read: .*{os.strerror(number)}") as error:
        checkpoints.restore_newest(at(0))
    assert error.value.exit_code == 74
    assert checkpoints.steps() == [5, 9]
    monkeypatch.undo()
    assert restored(checkpoints) == 9


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_what_says_nothing_of_a_checkpoint_is_raised_as_it_is(opened, monkeypatch, error):
    checkpoints = saved(opened, 5)

    def stop(*args):
        raise error

    monkeypatch.setattr(stored_step, "leaf_types", stop)
    with pytest.raises(error):
        checkpoints.restore_newest(at(0))
    assert checkpoints.steps() == [5]


def test_what_kills_left_is_no_step_and_is_cleaned_up_by_who_writes(opened):
    saved(opened, 5).close()
    for name in ("7.orbax-checkpoint-tmp", "9.orbax-checkpoint-tmp", "3.deleted"):
        (opened.directory / name / "state").mkdir(parents=True)
        (opened.directory / name / "state" / "file").touch()
    assert opened(create=False).steps() == [5]
    assert len(list(opened.directory.iterdir())) == 4
    assert opened().steps() == [5]
    assert [path.name for path in opened.directory.iterdir()] == ["5"]


@pytest.fixture
def failing(monkeypatch, opened):
    """{step: what goes wrong while it is saved}"""
    import orbax.checkpoint as ocp
    from etils import epath

    real_finalize, real_mkdir = ocp.StandardCheckpointHandler.finalize, epath.gpath.PosixGPath.mkdir
    failures = {}

    def finalize(self, directory):
        # In the background, when all is written and before it gets its name.
        step = int(re.search(r"/(\d+)\.orbax-checkpoint-tmp", str(directory))[1])
        match failures.get(step):
            case "background":
                raise OSError(errno.ENOSPC, "No space left on device")
            case "tensorstore":
                text = "RESOURCE_EXHAUSTED: Error writing: No space left on device [os_error_code='28']"
                raise ValueError(text)
            case "bug":
                raise ZeroDivisionError("a bug")
            case "vanish":
                opened.directory.rename(opened.directory.with_name("gone"))
        return real_finalize(self, directory)

    def mkdir(self, *args, **kwargs):
        if failures.get(int(re.match(r"\d*", self.name)[0] or -1)) == "at once":
            raise PermissionError(errno.EACCES, "Permission denied", str(self))
        return real_mkdir(self, *args, **kwargs)

    monkeypatch.setattr(ocp.StandardCheckpointHandler, "finalize", finalize)
    monkeypatch.setattr(epath.gpath.PosixGPath, "mkdir", mkdir)
    return failures


@pytest.mark.parametrize("how", ["background", "tensorstore"])
def test_a_save_that_fails_in_the_background_is_told_once_and_harms_nothing(opened, failing, how):
    checkpoints = saved(opened, 1, 2)
    failing.update({3: how, 4: how})
    checkpoints.save(3, at(3))
    with pytest.raises(StorageError, match=r"^step 3 could not be saved: .*No space left on device"):
        checkpoints.wait()
    checkpoints.wait()
    assert checkpoints.steps() == [1, 2]
    # An older failure is told by the next save, which succeeds.
    checkpoints.save(4, at(4))
    checkpoints.save(5, at(5))
    assert [line.partition(":")[0] for line in opened.said] == ["step 4 could not be saved"]
    checkpoints.wait()
    assert checkpoints.steps() == [2, 5]
    # What was begun takes up no space.
    assert {path.name for path in opened.directory.iterdir()} == {"2", "5"}
    assert restored(checkpoints) == 5


def test_waiting_tells_whether_there_was_anything_to_wait_for(opened, failing):
    checkpoints = opened()
    assert not checkpoints.wait()
    checkpoints.save(1, at(1))
    assert checkpoints.wait()
    assert not checkpoints.wait()
    failing[2] = "background"
    checkpoints.save(2, at(2))
    with pytest.raises(StorageError, match=r"^step 2 could not be saved: "):
        checkpoints.wait()
    assert not checkpoints.wait()


def test_a_step_that_cannot_be_deleted_is_reported_once_and_no_failure_of_a_save(opened, monkeypatch):
    checkpoints = saved(opened, 1, 2)
    with monkeypatch.context() as broken:

        def busy(directories, step):
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

        broken.setattr("gen_jax.training.step_directories.StepDirectories.delete", busy)
        for step in (3, 4):
            checkpoints.save(step, at(step))
            assert checkpoints.wait()
        assert checkpoints.steps() == [1, 2, 3, 4]
        assert opened.said == ["older checkpoints could not be deleted: Device or resource busy"]
    checkpoints.save(5, at(5))
    checkpoints.wait()
    assert checkpoints.steps() == [4, 5]


def test_the_best_step_is_not_deleted_because_its_metrics_cannot_be_read_for_a_moment(opened, monkeypatch):
    first = opened(best=NLL)
    for step, nll in ((1, 0.5), (2, 3.0), (3, 4.0)):
        first.save(step, at(step), {"nll": nll})
    first.close()
    again = opened(best=NLL)
    with monkeypatch.context() as away:

        def unavailable(path, step):
            raise StorageError("Stale file handle")

        away.setattr("gen_jax.training.checkpoints.read_metadata", unavailable)
        again.save(4, at(4), {"nll": 5.0})
        again.wait()
    assert again.steps() == [1, 2, 3, 4]
    again.save(5, at(5), {"nll": 6.0})
    again.wait()
    assert again.steps() == [1, 4, 5]


def test_a_save_that_cannot_begin_names_the_earlier_failure_too(opened, failing):
    checkpoints = saved(opened, 1)
    failing.update({2: "background", 3: "at once"})
    checkpoints.save(2, at(2))
    with pytest.raises(
        StorageError, match=r"^step 3 could not be saved: .*denied.*; before, step 2 could not be saved: "
    ):
        checkpoints.save(3, at(3))
    with pytest.raises(StorageError, match=r"^step 3 could not be saved: Permission denied$"):
        checkpoints.save(3, at(3))
    failing.clear()
    checkpoints.save(3, at(3))
    checkpoints.wait()
    assert checkpoints.steps() == [1, 3]
    assert opened.said == []


def test_a_bug_in_saving_is_raised_as_it_is(opened, failing):
    checkpoints = opened()
    failing[1] = "bug"
    checkpoints.save(1, at(1))
    with pytest.raises(ZeroDivisionError):
        checkpoints.wait()


def test_closing_reports_what_failed(opened, failing):
    checkpoints = opened()
    failing[1] = "background"
    checkpoints.save(1, at(1))
    checkpoints.close()
    assert [line.partition(":")[0] for line in opened.said] == ["step 1 could not be saved"]


def test_steps_are_only_deleted_once_a_newer_one_is_on_disk(opened, failing):
    checkpoints = saved(opened, 1, 2)
    failing.update(dict.fromkeys(range(3, 9), "background"))
    for step in range(3, 9):
        checkpoints.save(step, at(step))
    with pytest.raises(StorageError):
        checkpoints.wait()
    assert len(opened.said) == 5
    assert restored(opened(create=False)) == 2
    assert checkpoints.steps() == [1, 2]


@pytest.mark.parametrize("gone", ["checkpoints", "the run's directory"])
def test_a_directory_that_vanished_is_made_again(tmp_path, gone, opened):
    directory = tmp_path / "run" / "checkpoints"
    checkpoints = opened(directory)
    checkpoints.save(1, at(1))
    checkpoints.wait()
    shutil.rmtree(directory if gone == "checkpoints" else directory.parent)
    assert checkpoints.steps() == []
    checkpoints.save(2, at(2))
    checkpoints.wait()
    assert restored(checkpoints) == 2
    assert checkpoints.steps() == [2]


def test_a_directory_that_vanishes_during_a_save_fails_that_save_alone(opened, failing):
    checkpoints = saved(opened, 1)
    failing[2] = "vanish"
    checkpoints.save(2, at(2))
    with pytest.raises(StorageError, match=r"^step 2 could not be saved: "):
        checkpoints.wait()
    checkpoints.save(3, at(3))
    checkpoints.wait()
    assert checkpoints.steps() == [3]
    assert restored(checkpoints) == 3
