"""Sweeps, from the specs of an experiment to its finished runs."""
