"""Tests of the backtest and the performance statistics."""
