"""Toy LQ: credit on a linear system with quadratic cost, where the exact costate is known.

No network trains here. A hidden state moves through L linear steps with process noise, a quadratic
cost is paid at the end, and estimators learn the costate of every state along the way.
"""
