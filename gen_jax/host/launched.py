"""What `python -m gen_jax launch` tells each of its processes in the environment. JAX reads the address by itself."""

PROCESSES = "GEN_JAX_PROCESSES"
PROCESS_ID = "GEN_JAX_PROCESS_ID"
