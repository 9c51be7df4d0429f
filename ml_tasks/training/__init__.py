"""Fitting a model: data, loop, distribution, checkpoints, watchdog."""
