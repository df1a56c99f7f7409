"""The fault matrix: a desk at the sandbox broker, everything that can go wrong with it, and what must hold after it."""
