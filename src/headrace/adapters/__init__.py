"""Floor 2: the outside world, one door per library."""
