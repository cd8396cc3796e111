"""Run a sync or a restore, step by step."""
