"""All cells, by what makes them; and the parts of them that are played where not all can be."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from benchmarks.faulty import crashes, database, network, outside
from benchmarks.faulty.cells import Cell
from benchmarks.faulty.stage import Stage

Maker = Callable[[Stage], Iterator[Cell]]
MAKERS: Mapping[str, Maker] = {
    maker.__name__: maker
    for maker in (
        network.activities,
        crashes.kills,
        crashes.pairs,
        crashes.signals,
        crashes.with_network,
        network.posts,
        network.lags,
        network.look_ups,
        network.reads,
        network.cancels,
        network.away,
        network.rejections,
        outside.twins,
        outside.manual,
        outside.differences,
        outside.reshaped,
        outside.resets,
        outside.clocks,
        outside.switches,
        outside.keys,
        outside.backups,
        outside.streams,
        database.lost,
        database.full,
    )
}
RISKY = ("kills", "pairs", "with_network", "posts", "lags", "look_ups", "cancels", "twins", "lost")
"""Makers of cells in which an order could be sent twice."""


def cells(stage: Stage, makers: Sequence[str] = tuple(MAKERS), every: int = 1) -> list[Cell]:
    """The cells of some makers, or every n-th of each. A broker that takes ids twice plays none that needs unique ids:
    if he says 429 for an order that he took, nobody can know.
    """
    made = [cell for name in makers for cell in list(MAKERS[name](stage))[every // 2 :: every]]
    return [cell for cell in made if stage.unique or not cell.lies]
