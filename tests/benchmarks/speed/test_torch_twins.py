"""Every network, loss and sampling step of PyTorch's side is gen_jax's: same parameters in, same numbers out."""

import functools
import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.speed import gen_jax_side
from benchmarks.speed.subject import Order
from benchmarks.speed.workloads import DCGAN, DDPM, VAE, WGANGP, WORKLOADS, Workload
from gen_jax.data.field import image_fields
from gen_jax.data.info import DataInfo
from gen_jax.losses import NoiseSchedule, linear_betas
from gen_jax.models import ConvDecoder, DCGANGenerator, MLPDecoder, ResNetGenerator, UNet
from gen_jax.run.setup import example, initial_state
from gen_jax.samplers import ancestral, ddim, respaced
from gen_jax.training import keys

pytestmark = pytest.mark.slow

try:
    import torch

    from benchmarks.speed import torch_losses, torch_sampling, torch_side
    from benchmarks.speed.torch_flops import counted
    from benchmarks.speed.torch_modes import COMPILED, EAGER
    from benchmarks.speed.torch_networks.builders import NETWORKS
except ModuleNotFoundError as missing:
    if missing.name != "torch":
        raise
    pytest.skip("PyTorch is not installed: pip install 'gen_jax[bench]'", allow_module_level=True)

TINY_UNET = DDPM(channels=8, multipliers=(1, 2), attention=(4,), diffusion_steps=20)
# The order of the numbers in a flattened feature map is (height, width, channels) there and (channels, height, width)
# here: {layer: the map's (height, width, channels)}, for inputs of a layer and for outputs.
TINY = {
    "vae_mlp": (Workload("t", "t", VAE(features=(16, 8), latent=3), (8, 8, 1), 4), {}, {}),
    "vae_conv": (
        Workload("t", "t", VAE("conv", latent=3, width=4), (8, 8, 3), 4),
        {"mean": (2, 2, 8), "log_var": (2, 2, 8)},
        {"dense": (2, 2, 8)},
    ),
    "dcgan": (
        Workload("t", "t", DCGAN(latent=5, width=4), (16, 16, 3), 4),
        {"discriminator.dense": (4, 4, 8)},
        {"generator.dense": (4, 4, 8)},
    ),
    "wgan_gp": (
        Workload("t", "t", WGANGP(latent=5, width=4, critic_steps=2), (16, 16, 3), 4),
        {},
        {"generator.dense": (4, 4, 4)},
    ),
    "ddpm": (Workload("t", "t", TINY_UNET, (8, 8, 3), 4), {}, {}),
}


def layers(tree):
    """The innermost dicts of a Flax network's parameters, in the order in which the network called its layers."""
    if all(not isinstance(value, dict) for value in tree.values()):
        return [tree]
    return [layer for branch in tree.values() for layer in layers(branch)]


def spatial_first(flat, shape):
    """Flattened (height, width, channels) along the first axis, in the order (channels, height, width)."""
    return flat.reshape(*shape, -1).transpose(2, 0, 1, 3).reshape(flat.shape)


def kernel_for(module, kernel, inputs, outputs):
    """A Flax kernel as the weight of a PyTorch layer."""
    if isinstance(module, torch.nn.ConvTranspose2d):
        return kernel[::-1, ::-1].transpose(2, 3, 0, 1)
    if isinstance(module, torch.nn.Conv2d):
        return (kernel if kernel.ndim == 4 else kernel[None, None]).transpose(3, 2, 0, 1)
    kernel = kernel if inputs is None else spatial_first(kernel, inputs)
    return kernel.T if outputs is None else spatial_first(kernel.T, outputs)


def for_torch(net, module, tree, inputs, outputs):
    """A Flax network's parameters, or gradients in them, in the order and the shapes of a PyTorch network's."""
    found = []
    named = [(n, m) for n, m in module.named_modules() if list(m.parameters(recurse=False))]
    for (name, layer), flax in zip(named, layers(tree), strict=True):
        at = next((key for key in (name, f"{net}.{name}") if key in inputs or key in outputs), None)
        flax = {key: np.asarray(value) for key, value in flax.items()}
        is_norm = "scale" in flax
        found.append(flax["scale"] if is_norm else kernel_for(layer, flax["kernel"], inputs.get(at), outputs.get(at)))
        if "bias" in flax:
            bias = flax["bias"]
            found.append(bias if at not in outputs else spatial_first(bias[:, None], outputs[at])[:, 0])
    for values, parameter in zip(found, module.parameters(), strict=True):
        assert values.shape == tuple(parameter.shape)
    return [torch.tensor(np.ascontiguousarray(values)) for values in found]


class Twins:
    """A tiny workload on both sides, with the same parameters, none of them zero."""

    def __init__(self, name):
        self.workload, self.inputs, self.outputs = TINY[name]
        experiment, config = gen_jax_side.experiment_of(self.workload)
        info = DataInfo("images", image_fields(self.workload.shape), 100, 10, "f")
        self.game = experiment.build(config, info)
        # Not compiled: what comes out of jit has its layers in alphabetical order.
        nets = self.game.init(jax.random.key(0), example(info))
        generator = np.random.default_rng(0)

        def moved(leaf):
            return jnp.asarray(leaf + 0.1 * generator.standard_normal(leaf.shape), jnp.float32)

        self.order = {net: variables["params"] for net, variables in nets.items()}
        self.params = {net: in_order(tree, moved) for net, tree in self.order.items()}
        self.variables = {net: {k: v for k, v in tree.items() if k != "params"} for net, tree in nets.items()}
        self.networks = NETWORKS[type(self.workload.method)](self.workload.method, self.workload.shape)
        for net, module in self.networks.items():
            with torch.no_grad():
                for parameter, values in zip(module.parameters(), self.converted(net, self.params[net]), strict=True):
                    parameter.copy_(values)
        self.x = np.asarray(jax.random.uniform(jax.random.key(1), (4, *self.workload.shape), minval=-1.0))

    def converted(self, net, tree):
        return for_torch(net, self.networks[net], tree, self.inputs, self.outputs)

    def compare(self, player, key, loss, batch):
        """Value and gradients of a player's loss."""

        def objective(owned):
            params = {**self.params, **owned}
            return jnp.mean(self.game.players[player].loss(params, self.variables, batch, key, None)[0])

        owned = {net: self.params[net] for net in self.game.players[player].nets}
        value, gradients = jax.value_and_grad(objective)(owned)
        modules = [self.networks[net] for net in owned]
        parameters = [parameter for module in modules for parameter in module.parameters()]
        found = torch.autograd.grad(loss, parameters)
        assert float(loss.detach()) == pytest.approx(float(value), rel=1e-4)
        expected = [g for net in owned for g in self.converted(net, restored(gradients[net], self.order[net]))]
        scale = max(float(g.abs().max()) for g in expected)
        for theirs, ours in zip(found, expected, strict=True):
            np.testing.assert_allclose(theirs.numpy(), ours.numpy(), rtol=1e-3, atol=1e-4 * scale)


def in_order(tree, function):
    """The function of every leaf, with the branches as they were (JAX sorts them)."""
    return {k: in_order(v, function) if isinstance(v, dict) else function(v) for k, v in tree.items()}


def restored(tree, like):
    """The same tree, its branches in the order of another."""
    return {k: restored(tree[k], like[k]) if isinstance(like[k], dict) else tree[k] for k in like}


def images(x):
    """(batch, height, width, channels) as PyTorch has them."""
    return torch.tensor(np.ascontiguousarray(np.asarray(x).transpose(0, 3, 1, 2)))


def vector(x):
    return torch.tensor(np.asarray(x))


KEY = jax.random.key(7)


@pytest.mark.parametrize("name", ["vae_mlp", "vae_conv"])
def test_vae_has_the_same_bound_and_gradients(name):
    twins = Twins(name)
    x = (twins.x > 0).astype(np.float32)
    noise = jax.random.normal(keys.derive(KEY, "latent"), (4, 3))
    loss = torch_losses.vae(twins.networks["encoder"], twins.networks["decoder"], images(x), vector(noise))
    twins.compare("vae", KEY, loss, {"x": jnp.asarray(x)})


def test_dcgan_has_the_same_losses_and_gradients():
    twins = Twins("dcgan")
    z = vector(jax.random.normal(keys.derive(KEY, "latent"), (4, 5)))
    networks, batch = twins.networks, {"x": jnp.asarray(twins.x)}
    loss = torch_losses.discriminator(networks["generator"], networks["discriminator"], images(twins.x), z)
    twins.compare("discriminator", KEY, loss, batch)
    loss = torch_losses.generator(networks["generator"], networks["discriminator"], z)
    twins.compare("generator", KEY, loss, batch)


@pytest.mark.parametrize("slopes", [torch_losses.slopes_by_autograd, torch_losses.slopes_by_functorch])
def test_wgan_gp_has_the_same_losses_and_gradients(slopes):
    twins = Twins("wgan_gp")
    z = vector(jax.random.normal(keys.derive(KEY, "latent"), (4, 5)))
    epsilon = vector(jax.random.uniform(keys.derive(KEY, "penalty"), (4, 1, 1, 1)))
    generator, critic = twins.networks["generator"], twins.networks["discriminator"]
    batch = {"x": jnp.asarray(twins.x)}
    loss = torch_losses.critic(generator, critic, slopes, images(twins.x), z, epsilon, 10.0)
    twins.compare("discriminator", KEY, loss, batch)
    twins.compare("generator", KEY, torch_losses.critics_generator(generator, critic, z), batch)


def test_ddpm_has_the_same_loss_and_gradients():
    twins = Twins("ddpm")
    t = jax.random.randint(keys.derive(KEY, "time"), (4,), 0, 20)
    noise = jax.random.normal(keys.derive(KEY, "noise"), twins.x.shape)
    coefficients = torch_losses.diffusion_coefficients("linear", 20)
    loss = torch_losses.noise_prediction(
        twins.networks["network"], coefficients, images(twins.x), vector(t).long(), images(noise)
    )
    twins.compare("network", KEY, loss, {"x": jnp.asarray(twins.x)})


@pytest.mark.parametrize("name", ["vae_mlp", "vae_conv", "dcgan", "wgan_gp", "ddpm"])
def test_networks_give_the_same_outputs(name):
    twins = Twins(name)
    method, shape = twins.workload.method, twins.workload.shape
    z = np.asarray(jax.random.normal(KEY, (4, getattr(method, "latent", 1))))
    t = np.array([0, 3, 11, 19])
    net, module, inputs = {
        "vae_mlp": lambda: ("decoder", MLPDecoder(shape, (8, 16)), (z,)),
        "vae_conv": lambda: ("decoder", ConvDecoder(shape, 4), (z,)),
        "dcgan": lambda: ("generator", DCGANGenerator(shape, 4), (z,)),
        "wgan_gp": lambda: ("generator", ResNetGenerator(shape, 4), (z,)),
        "ddpm": lambda: ("network", UNet(8, (1, 2), 1, (4,), 0.0), (twins.x, t)),
    }[name]()
    mode = {"train": True} if name in ("dcgan", "wgan_gp", "ddpm") else {}
    variables = {"params": twins.params[net], **twins.variables[net]}
    ours, _ = module.apply(variables, *map(jnp.asarray, inputs), **mode, mutable=["batch_stats"])
    theirs = twins.networks[net](*[images(x) if x.ndim == 4 else torch.tensor(x) for x in inputs])
    np.testing.assert_allclose(theirs.detach().numpy(), np.asarray(ours).transpose(0, 3, 1, 2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("sampler", "name"), [(ancestral, "ancestral"), (ddim, "ddim")])
@pytest.mark.parametrize("number", [4, 0])
def test_one_step_of_sampling_is_the_same(sampler, name, number):
    twins = Twins("ddpm")
    network = twins.networks["network"].eval()

    def predict(x, t):
        return UNet(8, (1, 2), 1, (4,), 0.0).apply({"params": twins.params["network"]}, x, t, train=False)

    # Five of twenty times, of which the step is that at `number`.
    schedule = NoiseSchedule.from_betas(linear_betas(20))
    ours = respaced(sampler, 5)(predict, schedule, jnp.asarray(twins.x), KEY, start=number + 1, stop=number)
    chain = torch_sampling.Chain.of("linear", 20, 5)
    stepper = torch_sampling.STEPPERS[name]
    noise = images(jax.random.normal(jax.random.fold_in(KEY, number), twins.x.shape))
    theirs = stepper.step(
        network, stepper.table(chain), torch.from_numpy(chain.times), images(twins.x), torch.tensor([number]), noise
    )
    np.testing.assert_allclose(theirs.detach().numpy(), np.asarray(ours).transpose(0, 3, 1, 2), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_every_workload_has_as_many_parameters_on_both_sides(name):
    workload = WORKLOADS[name]
    experiment, config = gen_jax_side.experiment_of(workload)
    info = DataInfo("images", image_fields(workload.shape), 100, 10, "f")
    game = experiment.build(config, info)
    state = jax.eval_shape(functools.partial(initial_state, game, info), jax.random.key(0))
    ours = {net: sum(math.prod(leaf.shape) for leaf in jax.tree.leaves(tree)) for net, tree in state.params.items()}
    with torch.device("meta"):
        networks = NETWORKS[type(workload.method)](workload.method, workload.shape)
    assert ours == {net: sum(p.numel() for p in module.parameters()) for net, module in networks.items()}


def order(name, mode):
    workload, _, _ = TINY[name]
    stored = np.random.default_rng(0).integers(0, 256, (16, *workload.shape), np.uint8)
    return Order(workload, stored, "cpu", "float32", mode.as_json())


@pytest.mark.parametrize("name", sorted(TINY))
def test_steps_move_every_parameter_that_has_a_gradient(name):
    subject = torch_side.build(order(name, EAGER))
    before = {net: [p.clone() for p in m.parameters()] for net, m in subject._method.networks.items()}
    subject.run(3)
    for net, module in subject._method.networks.items():
        assert any(bool((p != q).any()) for p, q in zip(module.parameters(), before[net], strict=True)), net
        assert all(bool(torch.isfinite(p).all()) for p in module.parameters())


def test_operations_are_counted_as_by_hand():
    workload, _, _ = TINY["vae_mlp"]
    method = torch_side.build(order("vae_mlp", EAGER))._method
    # 64-16-8-6 and 3-8-16-64: forward, gradients in weights, and in activations but not in the data.
    products = 64 * 16 + 16 * 8 + 8 * 6 + 3 * 8 + 8 * 16 + 16 * 64
    assert counted(method.step) == 2 * workload.batch_size * (3 * products - 64 * 16)


def test_operations_are_counted_without_gradients_too():
    convolution, x = torch.nn.Conv2d(3, 5, 3, padding=1), torch.zeros(2, 3, 8, 8)
    expected = 2 * 2 * 8 * 8 * 3 * 5 * 9

    @torch.inference_mode()
    def without():
        convolution(x)

    assert counted(lambda: convolution(x)) == counted(without) == expected


# PyTorch's compiler uses what PyTorch itself has deprecated.
@pytest.mark.filterwarnings("ignore")
def test_compiled_gradients_are_those_of_eager_pytorch():
    subject = torch_side.build(order("vae_mlp", COMPILED))
    assert 0 <= subject.disagreement() < 1e-4
    assert torch_side.build(order("vae_mlp", EAGER)).disagreement() is None
