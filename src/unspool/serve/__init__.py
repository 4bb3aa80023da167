"""An OpenAI-compatible server: one batch of all requests, and readers of its records."""
