"""What the numbers are that several methods log."""

from gen_jax.training.game import Reported

ELBO = Reported("ELBO", "nats", "larger", depends_on="observed")
KL = Reported("KL term of the ELBO", "nats", depends_on="experiment")
# A part of the bound: more of it alone is not better.
LOG_LIKELIHOOD = Reported("log p(x|z)", "nats", depends_on="experiment")
LOSS = Reported("Loss", depends_on="experiment")
