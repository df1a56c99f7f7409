"""Dagster wiring: load, call the domain, check, store, attach metadata. No arithmetic of its own."""
