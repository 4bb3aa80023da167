"""Toy models that workers open by a function, some of which die on the way."""

import functools
import os
import signal
from pathlib import Path

import unspool as un
from unspool.models.toy import TableModel

VOCABULARY = 7


def toy(seed=0):
    """A model whose every answer is known."""
    return un.LanguageModel(TableModel.random(VOCABULARY, seed, 1.5, end_tokens=(0,), start=0, context=64), name="toy")


def dying(folder, times, after):
    """The same, whose process is killed after so many forwards, until that has happened so many times."""
    made = toy()
    session, forwards = made.model.session, [0]

    def watched(*arguments):
        found = session(*arguments)
        extend = found.extend

        def grow(*more, **how):
            forwards[0] += 1
            if forwards[0] == after and len(list(Path(folder).iterdir())) < times:
                (Path(folder) / str(os.getpid())).touch()
                os.kill(os.getpid(), signal.SIGKILL)
            return extend(*more, **how)

        found.extend = grow
        return found

    made.model.session = watched
    return made


def broken():
    """No model at all."""
    raise un.ModelError("there are no weights here")


def different(folder):
    """A model of its own in every process."""
    made = toy()
    made.name = f"toy of {os.getpid()}"
    return made


def opening(function, *arguments):
    """How a worker opens one of these."""
    return un.ModelOpening(function=functools.partial(function, *arguments))
