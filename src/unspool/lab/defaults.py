"""What comparisons and sweeps take where nobody says, and the names they choose from; the command line reads it before anything else."""

DEFAULT = ("perplexity", "diversity", "loops", "self_bleu", "length")
"""The metrics of a comparison."""
SWEPT_FOR = "js"
"""The metric of a sweep."""
DEFAULT_SEEDS = 3
"""Of a comparison."""
UNITS = ("words", "tokens")
"""What n-grams are made of; the first is taken."""
PROMPTS_AT_ONCE = 16
"""Prompts that run together."""
SEARCHES = ("grid", "random", "halving")
"""How a sweep chooses settings; the first is taken."""
KEEP = 3
"""In halving, of how many settings one goes on."""
FEWEST = 10
"""Prompts or texts below which percentile intervals are too narrow to be believed."""
