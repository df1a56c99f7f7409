"""How the account is divided between the sleeves: numbers in, weights out.

Pure code: numpy, pandas at the edge, and one quadratic programming solver behind one function. Nothing here knows of
Dagster, a database, a clock or a broker.

* `estimators` - outlier filter, mean, covariances, and the conventions for units; `momentum` - scores.
* `solver` - the seam to the quadratic programming solver; `programme` - quadratic programmes with named limits.
* `policy` - the rules for every scheme; `mandate` - the parameters of the schemes; `views` - those of
  the owner.
* `problem` - what every scheme is handed, and the form of its answer; `budgets` - sums of groups.
* `max_sharpe`, `risk_parity`, `min_variance`, `strategic`, `tactical`, `dynamic`, `robust_min_max`,
  `mean_variance_groups`, `glide_path`, `hierarchical_risk_parity`, `black_litterman` - the schemes, one function
  `scheme(problem) -> Answer` each; `schemes` - all of them by name.
* `mixture` - regimes and simulated paths.
* `volatility_target` - scaling with a cash remainder; `turnover` - a budget for changes.
* `target` - one allocation step on plain arrays.
* `allocation` - the weekly decision: eligibility, step, realism check, turnover, no-trade band; `log` - its steps;
  `explain` - the log told in sentences.
"""

from pas_dagster.allocation.allocation import Allocation, Step, allocate, allocate_all
from pas_dagster.allocation.mandate import Mandate
from pas_dagster.allocation.policy import Policy
from pas_dagster.allocation.schemes import SCHEMES

__all__ = ["SCHEMES", "Allocation", "Mandate", "Policy", "Step", "allocate", "allocate_all"]
