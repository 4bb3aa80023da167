"""The laws of models, processors, stops and strategies, for parts of one's own, from any test runner.

    from unspool.testing import check_strategy

    def test_branch():
        check_strategy(Branch(3))

Every check is given a part and raises LawBroken, an AssertionError, whose one sentence says which law is broken, with what input, what
came and what was expected. All input is drawn from `seed`; `tries` is how often each law is tried, with other input every time.
"""

from unspool.testing.laws import LawBroken as LawBroken
from unspool.testing.models import check_model as check_model
from unspool.testing.processors import check_processor as check_processor
from unspool.testing.stops import check_stop as check_stop
from unspool.testing.strategies import check_strategy as check_strategy

__all__ = ["LawBroken", "check_model", "check_processor", "check_stop", "check_strategy"]
