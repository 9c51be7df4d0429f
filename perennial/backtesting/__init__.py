"""History replayed under policies: what each would have trained, and what that was worth."""
