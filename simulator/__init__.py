"""A cluster and a registry that behave, for the demo and the tests. Never imported by the product."""
