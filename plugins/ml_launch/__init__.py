"""The one place that knows where a task runs."""
