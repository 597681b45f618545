"""Floor 1: what to do next. Pure decisions; the caller brings the time and the chance."""
