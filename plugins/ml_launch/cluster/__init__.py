"""Runs tasks as Jobs of a Kubernetes cluster."""
