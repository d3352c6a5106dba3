"""One player's move in PyTorch: the gradient of its loss, and a step of Adam; and averages of weights."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from benchmarks.speed.torch_setting import Setting

Loss = Callable[..., Tensor]


class Player:
    """Owns some of the networks and moves them downhill on a loss.

    Attributes:
      owned: the parameters that it moves.
    """

    def __init__(
        self,
        setting: Setting,
        owned: Sequence[nn.Module],
        others: Sequence[nn.Module],
        loss: Loss,
        learning_rate: float,
        betas: tuple[float, float] = (0.9, 0.999),
        *,
        warmup: int = 0,
        clip: float = 0.0,
    ):
        """A player that has not moved yet.

        Args:
          setting: where and how.
          owned: networks that it moves.
          others: networks that its loss looks at.
          loss: tensors, such as the positions of a batch, -> a scalar; draws its own random numbers.
          learning_rate: of Adam.
          betas: of Adam.
          warmup: moves over which the learning rate grows from 0.
          clip: largest norm of the gradient; 0 for no limit.
        """
        self.owned = [parameter for net in owned for parameter in net.parameters()]
        self._others = [parameter for net in others for parameter in net.parameters()]
        self._setting, self._plain_loss = setting, loss
        self._loss = setting.prepared(loss)
        self._rate, self._warmup, self._clip, self._moves = learning_rate, warmup, clip, 0
        fused = not setting.mode.compiles_optimizer
        # A number that changes would make it compile again.
        rate = learning_rate if fused else torch.tensor(learning_rate, device=setting.device)
        self._optimizer = torch.optim.Adam(self.owned, rate, betas, fused=fused)
        self._update = setting.prepared_optimizer(self._optimizer)

    def move(self, *inputs: Tensor) -> None:
        """One step."""
        self._take_the_floor()
        self._optimizer.zero_grad(set_to_none=True)
        self._loss(*inputs).backward()
        if self._clip:
            nn.utils.clip_grad_norm_(self.owned, self._clip)
        if self._warmup and self._moves <= self._warmup:
            rate = self._rate * self._moves / self._warmup
            for group in self._optimizer.param_groups:
                group["lr"] = group["lr"].fill_(rate) if isinstance(group["lr"], Tensor) else rate
        self._update()
        self._moves += 1

    def disagreement(self, *inputs: Tensor) -> float:
        """By how much the compiled gradient differs from eager PyTorch's on the same random numbers, as a share of it.

        It compiles the loss once more, because the compiled one draws other numbers than eager PyTorch.
        """
        self._take_the_floor()
        compiled = self._setting.prepared(self._plain_loss, fallback_random=True)
        gradients = []
        for loss in (self._setting.plain(self._plain_loss), compiled):
            torch.manual_seed(0)
            gradients.append(torch.autograd.grad(loss(*inputs), self.owned))
        apart = sum(float(((a - b) ** 2).sum()) for a, b in zip(*gradients, strict=True))
        return (apart / sum(float((a**2).sum()) for a in gradients[0])) ** 0.5

    def _take_the_floor(self) -> None:
        """No gradient is asked for of what others own; what is compiled would compute it all the same."""
        for parameters, wanted in ((self.owned, True), (self._others, False)):
            for parameter in parameters:
                parameter.requires_grad_(wanted)


class Averages:
    """Exponential averages of weights, warmed up as those of `gen_jax.methods.averages`."""

    def __init__(self, parameters: Sequence[Tensor], decay: float):
        """Begins with the parameters as they are; a decay of 0 keeps none."""
        self._parameters = [parameter.detach() for parameter in parameters] if decay else []
        self._averages = [parameter.clone() for parameter in self._parameters]
        self._decay, self._step = decay, 0

    def update(self) -> None:
        """After a step."""
        if not self._averages:
            return
        decay = min(self._decay, (1 + self._step) / (10 + self._step))
        torch._foreach_lerp_(self._averages, self._parameters, 1 - decay)
        self._step += 1
