"""What rules share: matrices, estimators, and how a rule is named, configured and known again."""
