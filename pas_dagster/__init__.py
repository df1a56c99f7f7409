"""Portfolio Allocation System: alternative-data strategies on one brokerage account, orchestrated by Dagster."""
