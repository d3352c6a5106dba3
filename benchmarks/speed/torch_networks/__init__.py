"""The networks of `gen_jax.models` in PyTorch, a file each, written in the same order as those.

Images are (batch, channels, height, width) here, as PyTorch has them. Layers are registered in the order in which the
Flax networks call theirs, which is how their parameters are matched in the tests.
"""
