"""Pure functions of arrays that a CPU computes in another form than XLA's own. They import nothing else of gen_jax."""
