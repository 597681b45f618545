"""Floor 0: what things are. Frozen values; no I/O, no clock, no event loop, no dice."""
