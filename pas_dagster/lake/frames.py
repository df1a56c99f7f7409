"""From Arrow to pandas: what the lake answers, as the frames that everything else computes with."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pyarrow as pa

_DTYPES = {pa.string(): pd.StringDtype(na_value=np.nan)}
# Only where something is missing: a plain array is faster, and has no room for it.
_WITH_MISSING = {pa.int32(): pd.Int32Dtype(), pa.int64(): pd.Int64Dtype(), pa.bool_(): pd.BooleanDtype()}


def frame_of(table: pa.Table) -> pd.DataFrame:
    """Days as midnights in microseconds, text as `str`, integers and flags with their missing ones kept.

    The table is used up, column by column: the answer to a query of millions of rows is not in memory twice.
    """
    names, columns = table.column_names, table.columns
    del table
    series = {name: _series(columns.pop(0)) for name in names}
    return pd.DataFrame(series, copy=False)


def _series(column: pa.ChunkedArray) -> pd.Series:
    if pa.types.is_date(column.type):
        column = column.cast(pa.timestamp("us"))
    dtypes = _DTYPES | (_WITH_MISSING if column.null_count else {})
    return column.to_pandas(types_mapper=dtypes.get)
