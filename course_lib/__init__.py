"""The training core of the course "Faster, Cheaper, Still Right". Import the modules by name; this file imports nothing."""
