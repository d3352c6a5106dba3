"""Another run's networks, as a game that is made of them sees them."""

from dataclasses import dataclass

from gen_jax.data.info import DataInfo
from gen_jax.errors import ConfigError
from gen_jax.training.game import Game, Params, Variables


@dataclass(frozen=True)
class Pretrained:
    """A trained run as a part of another.

    Attributes:
      name: where it was found, for messages.
      module: of its experiment.
      game: its method.
      info: what it was trained on.
      params: {net: parameters}, averaged where it keeps averages; ShapeDtypeStructs where nothing is to be computed.
      variables: {net: {collection: arrays}}, likewise.
      step: completed steps.
      digest: of its whole state.
    """

    name: str
    module: str
    game: Game
    info: DataInfo
    params: Params
    variables: Variables
    step: int
    digest: str

    def nets(self, *names: str) -> dict[str, dict]:
        """{net: its variables, "params" among them}, for `Game.given_nets`; of all nets where none is named."""
        return {net: {"params": self.params[net], **self.variables[net]} for net in names or self.params}

    def require(self, ability: str, option: str, accepted: str) -> None:
        """Raises ConfigError unless its game can do something.

        Args:
          ability: "sample", "encode", …
          option: the field of the configuration that names it.
          accepted: what would do, in words: "a run of experiments.vae".
        """
        if ability not in self.game.abilities:
            raise ConfigError(
                f"--{option.replace('_', '-')} is {self.name}, a run of {self.module}, which cannot {ability}; "
                f"accepted: {accepted}"
            )

    def require_shape(self, data: DataInfo, option: str) -> None:
        """Raises ConfigError unless it was trained on examples of the same kind and shape."""
        if (self.info.x.kind, self.info.shape) != (data.x.kind, data.shape):
            there, here = ("x".join(map(str, shape)) for shape in (self.info.shape, data.shape))
            raise ConfigError(
                f"--{option.replace('_', '-')} is {self.name}, which was trained on {self.info.x.kind} of {there}; "
                f"{data.name} has {data.x.kind} of {here}"
            )
