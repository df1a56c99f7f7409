"""From targets to fills: planning, netting, brokers, the executor for the present and the replay of history."""
