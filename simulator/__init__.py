"""A cluster and a registry that behave, for the demo and the tests, never for the product."""
