"""Alerts: what other systems report of a product, and what people are told of it."""
