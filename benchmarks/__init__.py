"""Timings, each a command that prints what it measured; none is a test."""
