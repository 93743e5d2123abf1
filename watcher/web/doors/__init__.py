"""The doors: each proves who somebody is in its own way, and says as what he is let in.

What a door proves and what it does not: docs/doors.md.
"""
