"""Many prompts: units of work, who runs them, and the file that their texts come to."""
