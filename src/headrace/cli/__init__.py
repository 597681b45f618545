"""Floor 7: the command line. ``headrace run`` and ``headrace demo``."""
