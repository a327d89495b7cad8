"""Rules that live outside the package, as yours do."""
