"""One worker per queue, run as programs of their own by `bench.takeover`."""
