"""Papers as commands: `python -m experiments.NAME`."""

from gen_jax.host.huge_pages import begin_again_with_huge_pages

begin_again_with_huge_pages()
