"""What the account could lose, and what keeps it from losing more: numbers in, numbers and reasons out.

Pure code: numpy, pandas at the edge. Nothing here knows of Dagster, a database, a clock or a broker.

* `exposure` - gross, net, by name, sector and factor; the sleeves looked through.
* `caps` - limits on names, sectors and gross, applied to a target before there are orders.
* `value_at_risk` - historical, parametric and Monte Carlo; `coverage` - whether forecasts of it came true.
* `regime` - calm or high-correlation crisis, walk-forward, and how far to go out of the market.
* `contributions` - what each position adds to volatility and to the expected shortfall.
* `stress` - past crises and shocks on today's book. Episodes of loss are with the tear sheet.
* `rules` - the user's own limits, as alerts. `breaker` - the circuit breaker.

Losses are returns, so they are negative, as in `pas_dagster.analytics.statistics`; limits on losses are sizes, so
they are positive. Weights are fractions of the account's net asset value (NAV), negative when short; what they leave
is cash, which earns nothing here.
"""
