"""One module per strategy, one small contract."""
