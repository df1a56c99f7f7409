"""A Trader Workstation on this machine: enough of its socket protocol for an account, its orders and its fills."""
