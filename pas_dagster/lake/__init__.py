"""The lake: DuckLake tables with snapshots, partitions replaced in one transaction, and their plain copies."""

from pas_dagster.lake.store import Lake, PartitionError, Written

__all__ = ["Lake", "PartitionError", "Written"]
