"""One module per action or side channel; none knows another."""
