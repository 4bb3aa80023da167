"""Who runs units: this process, several of them, or a cluster."""
