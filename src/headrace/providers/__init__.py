"""Floor 3: the seam. One request class per API, each with ``execute_once()`` and little else."""
