"""The methods in PyTorch: networks, who moves when, and which random numbers they draw inside the step."""

import numpy as np
import torch
from torch import Tensor

from benchmarks.speed import torch_losses
from benchmarks.speed.torch_networks.builders import NETWORKS
from benchmarks.speed.torch_player import Averages, Player
from benchmarks.speed.torch_sampling import STEPPERS, Chain
from benchmarks.speed.torch_setting import Setting, batches
from benchmarks.speed.workloads import DCGAN, DDPM, VAE, WGANGP, Workload


class Method:
    """A workload in PyTorch.

    Attributes:
      networks: by the names that gen_jax gives them.
      moves: each player, and what its loss takes: the positions of a batch or nothing.
    """

    def __init__(self, setting: Setting, workload: Workload, images: np.ndarray):
        """Networks and images are put on the device."""
        self.setting, self.workload = setting, workload
        networks = NETWORKS[type(workload.method)](workload.method, workload.shape)
        self.networks = {name: setting.place(net) for name, net in networks.items()}
        self.images = setting.images(images)
        self.indices = batches(len(images), workload.batch_size, setting.device)
        self.moves: list[tuple[Player, bool]] = []
        self.averages = Averages([], 0.0)

    def step(self) -> None:
        """One step of training: every player in turn."""
        for player, takes_data in self.moves:
            player.move(*([next(self.indices)] if takes_data else []))
        self.averages.update()

    def disagreement(self) -> float:
        """The largest of its players'."""
        return max(player.disagreement(*([next(self.indices)] if data else [])) for player, data in self.moves)

    def gather(self, index: Tensor) -> Tensor:
        """The images of a batch, as floats from 0 to 255."""
        return self.images[index].float().contiguous(memory_format=self.setting.memory_format)

    def signed(self, index: Tensor) -> Tensor:
        """The images of a batch in [-1, 1]."""
        return self.gather(index) / 127.5 - 1.0

    def normal(self, *shape: int) -> Tensor:
        """Standard normal numbers."""
        return torch.randn(*shape, device=self.setting.device)


class TrainVAE(Method):
    """One player owns both networks."""

    def __init__(self, setting: Setting, workload: Workload, images: np.ndarray):
        super().__init__(setting, workload, images)
        method = workload.method
        assert isinstance(method, VAE)
        encoder, decoder = self.networks["encoder"], self.networks["decoder"]

        def loss(index: Tensor) -> Tensor:
            x = torch.bernoulli(self.gather(index) / 255.0)
            return torch_losses.vae(encoder, decoder, x, self.normal(workload.batch_size, method.latent))

        player = Player(setting, [encoder, decoder], [], loss, method.learning_rate)
        self.moves = [(player, True)]
        self.averages = Averages(player.owned, method.average_decay)


class TrainDCGAN(Method):
    """The discriminator moves, then the generator."""

    def __init__(self, setting: Setting, workload: Workload, images: np.ndarray):
        super().__init__(setting, workload, images)
        method = workload.method
        assert isinstance(method, DCGAN)
        generator, discriminator = self.networks["generator"], self.networks["discriminator"]

        def discriminator_loss(index: Tensor) -> Tensor:
            z = self.normal(workload.batch_size, method.latent)
            return torch_losses.discriminator(generator, discriminator, self.signed(index), z)

        def generator_loss() -> Tensor:
            return torch_losses.generator(generator, discriminator, self.normal(workload.batch_size, method.latent))

        adam = (method.learning_rate, method.betas)
        self.moves = [
            (Player(setting, [discriminator], [generator], discriminator_loss, *adam), True),
            (Player(setting, [generator], [discriminator], generator_loss, *adam), False),
        ]


class TrainWGANGP(Method):
    """The critic moves several times, then the generator."""

    def __init__(self, setting: Setting, workload: Workload, images: np.ndarray):
        super().__init__(setting, workload, images)
        method = workload.method
        assert isinstance(method, WGANGP)
        generator, critic = self.networks["generator"], self.networks["discriminator"]
        compiles = setting.mode.compile is not None
        slopes = torch_losses.slopes_by_functorch if compiles else torch_losses.slopes_by_autograd

        def critic_loss(index: Tensor) -> Tensor:
            z = self.normal(workload.batch_size, method.latent)
            epsilon = torch.rand(workload.batch_size, 1, 1, 1, device=setting.device)
            return torch_losses.critic(generator, critic, slopes, self.signed(index), z, epsilon, method.penalty)

        def generator_loss() -> Tensor:
            z = self.normal(workload.batch_size, method.latent)
            return torch_losses.critics_generator(generator, critic, z)

        adam = (method.learning_rate, method.betas)
        self.moves = [(Player(setting, [critic], [generator], critic_loss, *adam), True)] * method.critic_steps
        self.moves.append((Player(setting, [generator], [critic], generator_loss, *adam), False))


class TrainDDPM(Method):
    """One player owns the U-Net."""

    def __init__(self, setting: Setting, workload: Workload, images: np.ndarray):
        super().__init__(setting, workload, images)
        method = workload.method
        assert isinstance(method, DDPM)
        network = self.networks["network"]
        coefficients = torch_losses.diffusion_coefficients(method.schedule, method.diffusion_steps).to(setting.device)

        def loss(index: Tensor) -> Tensor:
            x = self.signed(index)
            if method.flip:
                mirrored = torch.rand(len(x), 1, 1, 1, device=setting.device) < 0.5
                x = torch.where(mirrored, x.flip(3), x)
            t = torch.randint(method.diffusion_steps, (len(x),), device=setting.device)
            return torch_losses.noise_prediction(network, coefficients, x, t, torch.randn_like(x))

        player = Player(
            setting,
            [network],
            [],
            loss,
            method.learning_rate,
            warmup=method.warmup,
            clip=method.clip_gradients,
        )
        self.moves = [(player, True)]
        self.averages = Averages(player.owned, method.average_decay)


class SampleDDPM(Method):
    """A batch of samples a step."""

    def __init__(self, setting: Setting, workload: Workload, images: np.ndarray):
        super().__init__(setting, workload, images)
        method = workload.method
        assert isinstance(method, DDPM)
        network = self.networks["network"].eval()
        chain = Chain.of(method.schedule, method.diffusion_steps, method.sampling_steps)
        stepper = STEPPERS[method.sampler]
        rows, times = stepper.table(chain).to(setting.device), torch.from_numpy(chain.times).to(setting.device)
        self._numbers = list(torch.arange(len(chain.times), device=setting.device).flip(0).split(1))

        def step(x: Tensor, number: Tensor) -> Tensor:
            noise = torch.randn_like(x) if stepper.is_random else None
            return stepper.step(network, rows, times, x, number, noise)

        self._plain_step, self._step = step, setting.prepared(step)

    @torch.inference_mode()
    def step(self) -> None:
        """Noise to images of 256 levels, in the host's memory."""
        x = self._noise()
        for number in self._numbers:
            torch.compiler.cudagraph_mark_step_begin()
            # What a recorded graph gives lies in memory that its next replay writes to.
            x = self._step(x, number).clone() if self.setting.replays else self._step(x, number)
        ((x + 1.0) * 127.5 + 0.5).floor().clamp(0.0, 255.0).to(torch.uint8).cpu()

    @torch.inference_mode()
    def disagreement(self) -> float:
        """By how much one compiled step differs from eager PyTorch's on the same random numbers, as a share of it."""
        x, found = self._noise(), []
        compiled = self.setting.prepared(self._plain_step, fallback_random=True)
        for step in (self.setting.plain(self._plain_step), compiled):
            torch.manual_seed(0)
            found.append(step(x, self._numbers[len(self._numbers) // 2]))
        return float((found[0] - found[1]).norm() / found[0].norm())

    def _noise(self) -> Tensor:
        height, width, channels = self.workload.shape
        noise = self.normal(self.workload.batch_size, channels, height, width)
        return noise.contiguous(memory_format=self.setting.memory_format)


TRAINING: dict[type, type[Method]] = {VAE: TrainVAE, DCGAN: TrainDCGAN, WGANGP: TrainWGANGP, DDPM: TrainDDPM}


def method_of(setting: Setting, workload: Workload, images: np.ndarray) -> Method:
    """The workload, ready for its first step."""
    kind = SampleDDPM if workload.samples else TRAINING[type(workload.method)]
    return kind(setting, workload, images)
