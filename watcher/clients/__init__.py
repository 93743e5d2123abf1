"""The only modules that know other people's libraries and wire formats."""
