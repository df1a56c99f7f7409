"""A broker for tests and demos: Alpaca's trading API on loopback, with an account, a clock and bad luck of its own."""
