"""Rules and training scripts that live outside the package, as yours do."""
