"""Stops, by what they read. A new one is a few lines beside its siblings and a name below, or any Stop of your own."""

from unspool.stops.confidence import Confidence
from unspool.stops.limits import MaxTime, TokenBudget
from unspool.stops.loop import Loop
from unspool.stops.texts import StopRegex, StopStrings
from unspool.stops.tokens import End, StopFunction

__all__ = ["Confidence", "End", "Loop", "MaxTime", "StopFunction", "StopRegex", "StopStrings", "TokenBudget"]
