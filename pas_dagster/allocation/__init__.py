"""How the account is divided between the sleeves: numbers in, weights out.

Pure code: numpy, pandas at the edge, and one quadratic programming solver behind one function. Nothing here knows of
Dagster, a database or a broker.

* `estimators` - outlier filter, mean, Ledoit-Wolf covariance, and the conventions for units.
* `solver` - the seam to the quadratic programming solver.
* `max_sharpe`, `risk_parity` - portfolio schemes.
* `volatility_target` - scaling with a cash remainder.
* `policy` - the parameters of a decision.
* `target` - one allocation step on plain arrays.
* `allocation` - the weekly decision: eligibility, step, realism check, no-trade band, log.
"""

from pas_dagster.allocation.allocation import Allocation, Step, allocate
from pas_dagster.allocation.policy import Policy

__all__ = ["Allocation", "Policy", "Step", "allocate"]
