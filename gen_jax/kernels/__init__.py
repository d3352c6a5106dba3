"""What a CPU computes in another form than XLA's own; pure functions of arrays. Imports nothing else of gen_jax."""
