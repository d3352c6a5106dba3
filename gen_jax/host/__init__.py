"""The machine: memory, the cache directory, compiled programs, the devices of a CPU. Knows nothing of gen_jax."""
