"""The books: double entry, append-only, integers, in Postgres schema `ledger`."""
