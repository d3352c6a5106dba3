"""gen_jax against PyTorch in the same run: `python -m benchmarks.speed`."""
