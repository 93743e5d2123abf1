"""One OpenShift cluster behind its API: watched, read live, and changed in four small ways.

`cluster` is the adapter the rest of the program uses; the other modules are its parts:
`credentials` (who we are), `http1` (reading), `session` (both ways to the API server),
`wire` (JSON to facts), `kinds` (what is watched, and the rights it needs),
`reflector` (list and watch), `writes` and `errors`.
"""
