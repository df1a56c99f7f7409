"""History that comes in files: read, reshape, check, stage, and serve."""
