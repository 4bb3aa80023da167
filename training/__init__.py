"""Training of the bundled model: from a folder of texts to a Hugging Face folder, with one command."""
