"""The language that experiments are written in.

    gap("M4", "scalar", DIRECTION).above(0.10)   a check: a measure of cells and its bound
    Factor("arm", {"M4": {"rule": "vector_field"}})   what varies
    Panel(GAMMA, x="arm")   what a figure shows

`credit/experiments/` holds one file per experiment. Nothing here imports torch or MLflow.
"""
# ruff: noqa: F401 - experiments import these names from here

from credit.lab import protocol, table, untrained
from credit.lab import quantity as quantities
from credit.lab.check import All, Check
from credit.lab.experiment import Experiment
from credit.lab.factor import Factor
from credit.lab.frame import Frame, Undecided
from credit.lab.looks import Panel
from credit.lab.measure import Found, Measure, Sample, course, each, gap, share, steps, value
from credit.lab.options import Options, depth_of, distinct, fields, items, listed, product
from credit.lab.quantity import DIRECTION, Quantity
from credit.lab.results import Results, results
from credit.lab.source import AUTHORS, Reported, Span
from credit.lab.verdict import Verdict
