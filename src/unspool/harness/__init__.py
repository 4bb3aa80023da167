"""unspool's models for lm-evaluation-harness."""
