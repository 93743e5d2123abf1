"""The demo: the real service on a simulated cluster and registry, told on the screen."""
