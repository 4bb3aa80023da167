"""unspool where transformers is: its strategies inside `model.generate`, and each library's settings, processors and stops in the other.

    model.generate(ids, custom_generate=un.transformers.decode("no_repeat_ngram(3) | beam(4)"))
    model.generate(ids, penalty_alpha=0.6, top_k=4, custom_generate=un.transformers.generate)
    model.generate(ids, do_sample=True, top_k=0, logits_processor=un.transformers.logits_processor("top_n_sigma(1)"))
"""

from unspool.transformers.custom import decode as decode, generate as generate
from unspool.transformers.ours import logits_processor as logits_processor, stopping_criteria as stopping_criteria
from unspool.transformers.settings import from_config as from_config, to_config as to_config
from unspool.transformers.theirs import stop_criteria as stop_criteria
