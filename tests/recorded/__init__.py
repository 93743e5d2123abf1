"""What earlier releases wrote, as files: see test_recorded.py. They are never changed."""
