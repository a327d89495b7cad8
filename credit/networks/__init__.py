"""Networks that are trained and measured: one file for each kind."""
