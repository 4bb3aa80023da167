"""The numbers of the training recipe, in one place for the trainer and the model card."""

TIERS = "ASBE"
TIER_WEIGHTS = {"A": 2, "S": 4, "B": 1, "E": 1}
MATRIX_RATE = 0.02
OTHER_RATE = 0.003
WARMUP_SHARE = 0.02
DECAY_SHARE = 0.68
FIRST_LAYERS = 4
GROWTH_SHARE = 0.6
BATCH_WINDOWS = 12
