"""Floor 1: which models and endpoints exist. Rows of data, no behaviour of their own."""
