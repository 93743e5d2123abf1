"""Slack: what people are told there, and what they answer."""
