"""Published methods of every shape, each a game of fewer than 40 lines on a toy whose answer is known."""

import inspect
import itertools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from toy_games import Match, moves, per_example, scalar_nets, steps_of, toy_game, weights

from gen_jax.data import Field, Split, Streams, open_source
from gen_jax.errors import ConfigError
from gen_jax.training import Aux, Player, Program, Turn, init_state
from gen_jax.training import keys as key_paths
from gen_jax.training.game import Given
from gen_jax.training.sampling import Sampler
from gen_jax.training.sharding import make_mesh, replicated

POINTS = np.random.default_rng(0).normal([1.0, -0.5], 1.0, (64, 2)).astype(np.float32)


def turn_key(step, turn=0, repeat=0, seed=0):
    """The key that the players of a turn are given."""
    return key_paths.derive(jax.random.key(seed), "turn", step, turn, repeat)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def weight(state, net):
    return np.float64(state.params[net]["w"])


def test_vae_gan_moves_three_players_on_three_losses_of_the_same_latents():
    # Larsen et al., arXiv 1512.09300, algorithm 1: all three gradients are taken before anyone moves.
    def losses(params, batch, key):
        e, d, w = (params[net]["w"] for net in ("encoder", "decoder", "discriminator"))
        z = e * batch["x"] + jax.random.normal(key, batch["x"].shape)
        real, fake = w * batch["x"].sum(-1), w * (d * z).sum(-1)
        prior, content = 0.5 * ((e * batch["x"]) ** 2).sum(-1), 0.5 * w**2 * ((batch["x"] - d * z) ** 2).sum(-1)
        adversarial = jax.nn.softplus(-real) + jax.nn.softplus(fake)
        return {"encoder": prior + content, "decoder": content - adversarial, "discriminator": adversarial}, z

    def player(name):
        def loss(params, variables, batch, key, now):
            values, z = losses(params, batch, key)
            return values[name], Aux(outputs=z)

        return Player((name,), loss, optax.sgd(0.1))

    names = ("encoder", "decoder", "discriminator")
    turn = Turn(names, carry_update=lambda carry, metrics, outputs, key: jnp.stack([outputs[n] for n in names]))
    init = scalar_nets(encoder=0.5, decoder=0.8, discriminator=0.3)
    game = toy_game(init, {n: player(n) for n in names}, (turn,), carry=np.zeros((3, 64, 2), np.float32))
    state = Match(game, POINTS).play(1)

    assert np.ptp(state.carry, axis=0).max() == 0
    e, d, w, z = 0.5, 0.8, 0.3, np.asarray(state.carry[0], np.float64)
    x = z - jax.random.normal(turn_key(0), z.shape)
    x, residual = x / e, x / e - d * z
    real, fake = w * x.sum(-1), w * d * z.sum(-1)
    encoder = e * (x**2).sum(-1) - w**2 * d * (residual * x).sum(-1)
    decoder = -(w**2) * (residual * z).sum(-1) - sigmoid(fake) * w * z.sum(-1)
    discriminator = -sigmoid(-real) * x.sum(-1) + sigmoid(fake) * d * z.sum(-1)
    for net, before, gradient in zip(names, (e, d, w), (encoder, decoder, discriminator), strict=True):
        np.testing.assert_allclose(weight(state, net), before - 0.1 * gradient.mean(), rtol=1e-4)


def test_infogan_has_a_trunk_that_one_player_reads_and_another_trains():
    # Chen et al., arXiv 1606.03657: the head that recognises the code sits on the discriminator's trunk.
    def fake(params, key):
        code = jax.random.permutation(key, jnp.repeat(jnp.array([1.0, -1.0]), 32))
        return code, params["generator"]["w"] * code

    def score(params, x):
        return params["head"]["w"] * params["trunk"]["w"] * x

    def discriminator(params, variables, batch, key, now):
        return score(params, fake(params, key)[1]) - score(params, batch["x"][:, 0]), Aux()

    def generator(params, variables, batch, key, now):
        code, x = fake(params, key)
        recognised = params["recogniser"]["w"] * params["trunk"]["w"] * x
        return (recognised - code) ** 2 - score(params, x), Aux()

    players = {
        "discriminator": Player(("trunk", "head"), discriminator, optax.sgd(0.1)),
        "generator": Player(("generator", "recogniser"), generator, optax.sgd(0.1)),
    }
    init = scalar_nets(trunk=2.0, head=0.3, generator=1.0, recogniser=0.2)
    match = Match(toy_game(init, players, (Turn(("discriminator",), every=40), Turn(("generator",)))), POINTS)
    read = match.play(39)
    assert (weight(read, "trunk"), weight(read, "head")) == (2.0, np.float32(0.3))
    # Codes sum to zero, so the critic does not pull, and the code is recovered through the trunk as it is.
    np.testing.assert_allclose(weight(read, "recogniser") * 2.0 * weight(read, "generator"), 1.0, atol=1e-5)
    trained = match.play(1)
    np.testing.assert_allclose(weight(trained, "trunk"), 2.0 + 0.1 * 0.3 * POINTS[:, 0].mean(), rtol=1e-5)


def test_cyclegan_owns_nets_in_pairs_and_keeps_a_pool_of_fakes():
    # Zhu et al., arXiv 1703.10593; shifts translate between two sets of numbers, critics are slopes with decay.
    def translate(params, batch):
        x, y = batch["x"].T
        return x + params["forward"]["w"], y + params["backward"]["w"]

    def generators(params, variables, batch, key, now):
        fake_y, fake_x = translate(params, batch)
        cycle = (fake_y + params["backward"]["w"] - batch["x"][:, 0]) ** 2
        adversarial = -params["critic_y"]["w"] * fake_y - params["critic_x"]["w"] * fake_x
        return cycle + adversarial, Aux(outputs=jnp.stack([fake_x, fake_y], axis=1))

    def critics(params, variables, batch, key, now):
        slopes = jnp.stack([params["critic_x"]["w"], params["critic_y"]["w"]])
        oldest = now.carry[-len(batch["x"]) :]
        return ((oldest - batch["x"]) * slopes[None]).sum(-1) + 0.5 * (slopes**2).sum(), Aux()

    def remember(pool, metrics, outputs, key):
        return jnp.concatenate([outputs["generators"], pool])[: len(pool)]

    players = {
        "generators": Player(("forward", "backward"), generators, optax.sgd(0.1)),
        "critics": Player(("critic_x", "critic_y"), critics, optax.sgd(0.1)),
    }
    turns = (Turn(("generators",), carry_update=remember), Turn(("critics",), fresh=False))
    init, pool = scalar_nets(forward=0.0, backward=0.0, critic_x=0.0, critic_y=0.0), np.zeros((128, 2), np.float32)
    match = Match(toy_game(init, players, turns, carry=pool), POINTS)
    state = match.play(600)
    shift = POINTS[:, 1].mean() - POINTS[:, 0].mean()
    np.testing.assert_allclose([weight(state, "forward"), weight(state, "backward")], [shift, -shift], atol=1e-3)
    newer = match.play(1)
    np.testing.assert_array_equal(newer.carry[64:], state.carry[:64])
    np.testing.assert_allclose(
        np.sort(newer.carry[:64, 1]), np.sort(POINTS[:, 0]) + weight(state, "forward"), rtol=1e-5
    )


@pytest.mark.parametrize(("gamma", "ends_at"), [(2.0, 1.0), (0.1, 0.0)])
def test_began_carries_its_balance_within_zero_and_one(gamma, ends_at):
    # Berthelot et al., arXiv 1703.10717, section 3.4: an autoencoder w * x judges, and k follows from both losses.
    def error(params, x):
        return jnp.abs(x - params["discriminator"]["w"] * x).mean(-1)

    def fake(params, batch, key):
        return params["generator"]["w"] * jax.random.normal(key, batch["x"].shape)

    def discriminator(params, variables, batch, key, now):
        real, faked = error(params, batch["x"]), error(params, fake(params, batch, key))
        return real - now.carry * faked, Aux({"real": real, "fake": faked})

    def generator(params, variables, batch, key, now):
        return error(params, fake(params, batch, key)), Aux()

    def balance(k, metrics, outputs, key):
        return jnp.clip(k + 0.5 * (gamma * metrics["real"] - metrics["fake"]), 0.0, 1.0)

    losses = {"discriminator": discriminator, "generator": generator}
    players = {name: Player((name,), loss, optax.sgd(0.01)) for name, loss in losses.items()}
    turns = (Turn(("discriminator", "generator"), carry_update=balance),)
    match = Match(toy_game(scalar_nets(discriminator=0.2, generator=0.9), players, turns, carry=0.4), POINTS)
    w, g, k = 0.2, 0.9, 0.4
    for step in range(4):
        state = match.play(1)
        z, x = np.abs(jax.random.normal(turn_key(step), (64, 2))).mean(), np.abs(POINTS).mean()
        real, faked = (1 - w) * x, (1 - w) * g * z
        w, g, k = w + 0.01 * (x - k * g * z), g - 0.01 * (1 - w) * z, np.clip(k + 0.5 * (gamma * real - faked), 0, 1)
        np.testing.assert_allclose([weight(state, "discriminator"), weight(state, "generator")], [w, g], rtol=1e-5)
        np.testing.assert_allclose(state.carry, k, rtol=1e-5)
    assert state.carry == ends_at


@pytest.mark.parametrize(
    ("rate", "decorrelated", "logits"),
    [
        # log N(z; 0, [[1, rho], [rho, 1]]) - log N(z; 0, I), which has this constant, product and squares.
        (0.0, 0.0, [-0.5 * np.log(0.36), 0.8 / 0.36, -0.32 / 0.36, -0.32 / 0.36]),
        # Where the encoder may move, it takes the regression on the first dimension out of the second.
        (0.02, 0.8, [0.0, 0.0, 0.0, 0.0]),
    ],
)
def test_factor_vae_discriminates_latents_from_permuted_ones(rate, decorrelated, logits):
    # Kim & Mnih, arXiv 1802.05983, algorithm 2: the logit estimates the total correlation of the latents.
    def latents(params, batch):
        return jnp.stack([batch["x"][:, 0], batch["x"][:, 1] - params["encoder"]["w"] * batch["x"][:, 0]], axis=1)

    def logit(params, z):
        features = jnp.stack([jnp.ones(len(z)), z[:, 0] * z[:, 1], z[:, 0] ** 2, z[:, 1] ** 2], axis=1)
        return features @ params["discriminator"]["w"]

    def encoder(params, variables, batch, key, now):
        return logit(params, latents(params, batch)), Aux()

    def discriminator(params, variables, batch, key, now):
        z, order = latents(params, batch), jax.random.permutation(key, len(batch["x"]))
        permuted = jnp.stack([z[:, 0], z[order, 1]], axis=1)
        return jax.nn.softplus(-logit(params, z)) + jax.nn.softplus(logit(params, permuted)), Aux()

    x = np.random.default_rng(0).normal(size=(4096, 2))
    # Made exactly uncorrelated first, so that the answers hold for these examples and not only in expectation.
    x = (x - x.mean(0)) @ np.linalg.inv(np.linalg.cholesky(np.cov(x.T, bias=True))).T @ [[1.0, 0.8], [0.0, 0.6]]
    players = {
        "discriminator": Player(("discriminator",), discriminator, optax.adam(0.05)),
        "encoder": Player(("encoder",), encoder, optax.sgd(rate)),
    }
    turns = (Turn(("discriminator",)), Turn(("encoder",), fresh=False))
    init = scalar_nets(encoder=0.0, discriminator=np.zeros(4, np.float32))
    state = Match(toy_game(init, players, turns), x).play(400)
    np.testing.assert_allclose(weight(state, "encoder"), decorrelated, atol=1e-2)
    np.testing.assert_allclose(state.params["discriminator"]["w"], logits, atol=0.05)


def test_a_vector_quantised_codebook_moves_by_averages_and_not_by_gradients():
    # van den Oord et al., arXiv 1711.00937, appendix A.1: codes are averages of what was assigned to them.
    centres = np.array([[-4, 0], [4, 0], [0, 4]], np.float32)
    x = np.repeat(centres, 40, 0) + np.random.default_rng(0).normal(0, 0.5, (120, 2)).astype(np.float32)

    def init(key, example):
        averages = {"count": jnp.ones(3), "sum": jnp.array([[-1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])}
        return {"decoder": {"params": {"shift": jnp.ones(2)}}, "codebook": {"averages": averages}}

    def loss(params, variables, batch, key, now):
        count, total = variables["codebook"]["averages"]["count"], variables["codebook"]["averages"]["sum"]
        codes = total / count[:, None]
        nearest = jnp.argmin(((batch["x"][:, None] - codes[None]) ** 2).sum(-1), axis=1)
        assigned = jax.nn.one_hot(nearest, 3)
        averages = {"count": 0.8 * count + 0.2 * assigned.sum(0), "sum": 0.8 * total + 0.2 * assigned.T @ batch["x"]}
        decoded = codes[nearest] + params["decoder"]["shift"][None]
        return ((batch["x"] - decoded) ** 2).sum(-1), Aux(variables={"codebook": {"averages": averages}})

    players = {"vq": Player(("decoder", "codebook"), loss, optax.sgd(0.1))}
    state = Match(toy_game(init, players, (Turn(("vq",)),)), x).play(150)
    averages = state.variables["codebook"]["averages"]
    means = x.reshape(3, 40, 2).mean(1)
    np.testing.assert_allclose(averages["sum"] / averages["count"][:, None], means, atol=1e-4)
    np.testing.assert_allclose(averages["count"], 40, rtol=1e-4)
    np.testing.assert_allclose(state.params["decoder"]["shift"], 0, atol=1e-4)


def test_variational_parameters_of_each_example_are_rows_of_a_table():
    # Local parameters as in Hoffman et al., arXiv 1206.7051. For z ~ N(0, 1), x ~ N(z, 1), z | x is N(x / 2, 1 / 2).
    def init(key, example):
        return {"posteriors": {"params": {"mean": jnp.zeros(POINTS.shape), "log_var": jnp.zeros(POINTS.shape)}}}

    def loss(params, variables, batch, key, now):
        mean, log_var = (params["posteriors"][name][batch["index"]] for name in ("mean", "log_var"))
        kl = 0.5 * (mean**2 + jnp.exp(log_var) - log_var - 1)
        return (kl + 0.5 * ((batch["x"] - mean) ** 2 + jnp.exp(log_var))).sum(-1), Aux()

    game = toy_game(init, {"posteriors": Player(("posteriors",), loss, optax.sgd(16 * 0.5))}, (Turn(("posteriors",)),))
    match = Match(game, POINTS, batch_size=16)
    state = match.play(3)
    mean = np.asarray(state.params["posteriors"]["mean"])
    # The mean's curvature is 2, so a step of 1/2, times the batch that is averaged over, lands on the optimum.
    visited = (mean != 0).all(1)
    assert visited.sum() == 3 * 16
    np.testing.assert_allclose(mean[visited], POINTS[visited] / 2, rtol=1e-5)
    assert (mean[~visited] == 0).all()
    state = match.play(4 * 30)
    np.testing.assert_allclose(state.params["posteriors"]["mean"], POINTS / 2, rtol=1e-5)
    np.testing.assert_allclose(np.exp(state.params["posteriors"]["log_var"]), 0.5, rtol=1e-4)


def test_a_lazy_regulariser_shares_the_moments_of_the_loss_it_belongs_to():
    # R1 every fourth step, four times as strong: Karras et al., arXiv 1912.04958, appendix B.
    def score(params, x):
        return x @ params["critic"]["w"]

    def adversarial(params, variables, batch, key, now):
        return jax.nn.softplus(-score(params, batch["x"])), Aux()

    def r1(params, variables, batch, key, now):
        gradients = jax.vmap(jax.grad(lambda x: score(params, x)))(batch["x"])
        return 4 * 0.5 * (gradients**2).sum(-1), Aux()

    players = {
        "critic": Player(("critic",), adversarial, optax.adam(0.1, b1=0.5, b2=0.9)),
        "r1": Player(("critic",), r1, "critic"),
    }
    turns = (Turn(("critic",)), Turn(("r1",), every=4, fresh=False))
    match = Match(toy_game(scalar_nets(critic=np.array([0.5, -1.0], np.float32)), players, turns), POINTS)
    w, m, v, count = np.array([0.5, -1.0]), np.zeros(2), np.zeros(2), 0
    for step in range(1, 9):
        state = match.play(1)
        gradients = [lambda w: -(sigmoid(-POINTS @ w)[:, None] * POINTS).mean(0), lambda w: 4 * w]
        for gradient in gradients[: 2 if step % 4 == 0 else 1]:
            m, v, count = 0.5 * m + 0.5 * gradient(w), 0.9 * v + 0.1 * gradient(w) ** 2, count + 1
            w = w - 0.1 * (m / (1 - 0.5**count)) / (np.sqrt(v / (1 - 0.9**count)) + 1e-8)
        np.testing.assert_allclose(state.params["critic"]["w"], w, rtol=1e-4)
    assert count == 10


def test_a_linear_autoencoder_makes_no_samples_and_ends_at_the_principal_subspace():
    # Baldi & Hornik, Neural Networks 2, 1989: the least squared error is what the first component leaves over.
    x = np.random.default_rng(1).normal(size=(256, 2)) * [2.0, 0.5] @ [[0.8, 0.6], [-0.6, 0.8]]
    x = (x - x.mean(0)).astype(np.float32)

    def error(params, batch):
        codes = batch["x"] @ params["encoder"]["w"]
        return ((batch["x"] - codes[:, None] * params["decoder"]["w"][None]) ** 2).sum(-1)

    def loss(params, variables, batch, key, now):
        return error(params, batch), Aux()

    init = scalar_nets(encoder=np.ones(2, np.float32), decoder=np.array([1.0, 0.0], np.float32))
    players = {"autoencoder": Player(("encoder", "decoder"), loss, optax.sgd(0.02))}
    game = toy_game(init, players, (Turn(("autoencoder",)),))
    with pytest.raises(ConfigError, match="cannot sample; it can: be evaluated"):
        game.require("sample")
    state = Match(game, x).play(2000)
    least = np.linalg.eigvalsh(x.T @ x / len(x))[0]
    np.testing.assert_allclose(error(state.params, {"x": x}).mean(), least, rtol=1e-4)


def test_a_model_told_the_class_learns_the_mean_of_each_and_samples_the_one_asked_for():
    # Maximum likelihood of N(mean[label], 1): the means of the classes.
    label = np.arange(60, dtype=np.int32) % 3
    x = np.random.default_rng(2).normal(size=(60, 2)).astype(np.float32) + 10.0 * label[:, None]

    def loss(params, variables, batch, key, now):
        return 0.5 * ((batch["x"] - params["means"]["w"][batch["label"]]) ** 2).sum(-1), Aux()

    def sample(params, variables, key, n, *, label):
        return params["means"]["w"][label]

    given = {"label": Given(Field("label", (), ("low", "middle", "high")), lambda key, n: jnp.arange(n) % 3)}
    players = {"means": Player(("means",), loss, optax.sgd(1.5))}
    init = scalar_nets(means=np.zeros((3, 2), np.float32))
    match = Match(toy_game(init, players, (Turn(("means",)),), sample=sample, given=given), x, label=label)
    state, sampler = match.play(60), Sampler(match.program.game, match.program.mesh)
    means = np.stack([x[label == k].mean(0) for k in range(3)])
    np.testing.assert_allclose(
        sampler(state, jax.random.key(0), 3, label=["high", 0, "1"]), means[[2, 0, 1]], rtol=1e-4
    )
    np.testing.assert_allclose(sampler(state, jax.random.key(0), 3), means, rtol=1e-4)
    with pytest.raises(ConfigError, match="label is 'hihg'; the nearest is 'high'; accepted: 0 to 2, or low, middle"):
        sampler(state, jax.random.key(0), 1, label="hihg")


def test_a_shift_between_two_unpaired_sets_is_the_difference_of_their_means():
    # Two streams of different sizes; whole epochs of both pass in 15 steps of 8 examples.
    far = POINTS[:40] + np.float32([3.0, 7.0])
    split, other = Split(24, {"x": POINTS[:24]}), Split(40, {"y": far})

    def loss(params, variables, batch, key, now):
        return ((batch["y"] - batch["x"] - params["shift"]["w"][None]) ** 2).sum(-1), Aux()

    # A step of 1 / (2 t) makes the shift the mean of all differences so far.
    optimizer = optax.sgd(lambda count: 0.5 / (count + 1))
    players = {"shift": Player(("shift",), loss, optimizer)}
    init = scalar_nets(shift=np.zeros(2, np.float32))
    game = toy_game(init, players, (Turn(("shift",)),), streams=("others",))
    mesh = make_mesh(jax.devices()[:1])
    source = open_source(Streams(split, {"others": other}), batch_size=8, seed=0, draws=1, sharding=replicated(mesh))
    state = jax.device_put(init_state(game, jax.random.key(0), source.batch(source.feed(0), 0, 0)), replicated(mesh))
    state, _, _ = Program(game, source, mesh, 0, loop=True).advance(state, 0, 15)
    np.testing.assert_allclose(state.params["shift"]["w"], far.mean(0) - POINTS[:24].mean(0), rtol=1e-4)


def test_a_layer_that_joins_half_way_moves_from_then_on():
    # Progressive growing in small: the second weight is a turn's that begins at step 10; the first's ends at 20.
    def loss(net):
        return lambda params, variables, batch, key, now: (per_example(batch, -params[net]["w"]), Aux())

    players = {net: Player((net,), loss(net), optax.sgd(1.0)) for net in ("old", "new")}
    turns = (Turn(("old",), end=20), Turn(("new",), begin=10, fresh=False))
    for loop in (True, False):
        history = list(
            itertools.islice(steps_of(toy_game(scalar_nets(old=0.0, new=0.0), players, turns), loop=loop), 25)
        )
        assert [float(state.params["old"]["w"]) for state, _ in history] == [min(step, 20) for step in range(1, 26)]
        assert [float(state.params["new"]["w"]) for state, _ in history] == [max(step - 10, 0) for step in range(1, 26)]


def test_a_layer_that_standardises_its_first_batch_does_so_once():
    # ActNorm's start: Kingma & Dhariwal, arXiv 1807.03039, section 3.1.
    def prepare(nets, batch, key):
        x = batch["x"]
        return {**nets, "norm": {"params": {"w": jnp.stack([x.mean(0), 1 / x.std(0)])}}}

    def loss(params, variables, batch, key, now):
        normed = (batch["x"] - params["norm"]["w"][:1]) * params["norm"]["w"][1:]
        return per_example(batch, 0.0) * params["norm"]["w"].sum(), Aux(
            {"first": normed[:, 0], "square": normed[:, 1] ** 2}
        )

    players = {"norm": Player(("norm",), loss, optax.sgd(1.0))}
    game = toy_game(scalar_nets(norm=np.zeros((2, 2), np.float32)), players, (Turn(("norm",)),), prepare=prepare)
    match = Match(game, POINTS)
    expected = np.stack([POINTS.mean(0), 1 / POINTS.std(0)])
    np.testing.assert_allclose(match.state.params["norm"]["w"], expected, rtol=1e-5)
    _, _, metrics = match.program.advance(jax.tree.map(jnp.copy, match.state), 0, 1)
    np.testing.assert_allclose([metrics[0]["first"], metrics[0]["square"]], [0.0, 1.0], atol=1e-5)
    np.testing.assert_allclose(match.play(5).params["norm"]["w"], expected, rtol=1e-5)


def test_the_weight_of_a_term_grows_with_the_steps():
    # KL annealing: Bowman et al., arXiv 1511.06349. The gradient is the weight of the step; their sum is what is left.
    beta = optax.linear_schedule(0.0, 1.0, 10)

    def loss(params, variables, batch, key, now):
        return per_example(batch, -beta(now.step) * params["a"]["w"]), Aux()

    game = moves("a", nets={"a": 0.0}, losses=(loss,), turns=(Turn(("a",)),))
    np.testing.assert_allclose(weights(game, 12), np.cumsum([*np.arange(10) / 10, 1.0, 1.0]), rtol=1e-5)


def test_a_net_of_another_run_is_frozen_unless_somebody_owns_it():
    def loss(params, variables, batch, key, now):
        return per_example(batch, (params["given"]["w"] * params["head"]["w"] - 6.0) ** 2), Aux()

    def game(*owned):
        players = {"head": Player(owned, loss, optax.sgd(0.01))}
        nets = {"given": {"params": {"w": jnp.float32(3.0)}}}
        return toy_game(scalar_nets(given=0.0, head=1.0), players, (Turn(("head",)),), given_nets=nets)

    frozen, tuned = Match(game("head"), POINTS).play(500), Match(game("head", "given"), POINTS).play(500)
    assert weight(frozen, "given") == 3.0
    np.testing.assert_allclose(weight(frozen, "head"), 2.0, rtol=1e-4)
    # Gradient descent on (g h - 6)^2 keeps g^2 - h^2, up to the size of its steps.
    g, h = weight(tuned, "given"), weight(tuned, "head")
    np.testing.assert_allclose([g * h, g**2 - h**2], [6.0, 8.0], rtol=2e-2)


def test_each_of_these_methods_takes_fewer_than_40_lines():
    this = inspect.currentframe().f_code.co_name
    tests = {name: value for name, value in globals().items() if name.startswith("test_") and name != this}
    lines = {name: len(inspect.getsource(test).split(f"def {name}")[1].splitlines()) for name, test in tests.items()}
    assert len(lines) == 15
    assert {name: count for name, count in lines.items() if count >= 40} == {}
