"""What a book earned and how to describe it: the daily backtest and performance statistics, pure arrays."""
