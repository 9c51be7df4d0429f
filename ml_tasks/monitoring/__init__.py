"""What a version is watched with while it predicts."""
