"""Strategies: one file each. A new one is a file here and a line below, or any Strategy of your own."""

from unspool.strategies.beam import Beam
from unspool.strategies.contrastive_search import ContrastiveSearch
from unspool.strategies.exact import Exact
from unspool.strategies.follow import Follow
from unspool.strategies.greedy import Greedy
from unspool.strategies.sample import Sample
from unspool.strategies.sequential_monte_carlo import SequentialMonteCarlo
from unspool.strategies.speculative import Speculative
from unspool.strategies.stochastic_beam import StochasticBeam

__all__ = ["Beam", "ContrastiveSearch", "Exact", "Follow", "Greedy", "Sample", "SequentialMonteCarlo", "Speculative", "StochasticBeam"]
