"""Telling people: where what goes, and that it gets there once, in its newest state."""
