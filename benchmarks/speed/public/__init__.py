"""Trainers that PyTorch users install from PyPI, each in a process of its own, as its documentation has it used."""
