"""A result in a notebook as the lab shows it: text, step table, choices and tree, linked."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from unspool.errors import check
from unspool.output import Output
from unspool.record.trace import Trace
from unspool.views.heat_tokens import BY

if TYPE_CHECKING:
    from unspool.page.record_widget import RecordWidget


def widget(result: Output | Trace, by: str = "probability") -> RecordWidget:
    """A widget of a result, with the views of the lab's page; it needs the extra "notebook" and, once installed, no network.

    result: what `generate` returned after one prompt, or its trace; the more its level recorded, the more there is to see ("stages":
    all). by: what the text is coloured by, of probability, surprisal, entropy, effective (choices) and rank; it may be changed while the
    widget is shown. `selected` of the widget is the token that is chosen in it, as a dictionary, see `RecordWidget`.
    """
    check(by in BY, f"the widget colours by one of {', '.join(BY)}; got {by!r}")
    trace: Any = result.trace if isinstance(result, Output) else result
    what = "un.widget takes what generate returned after one prompt, or its trace"
    check(not isinstance(result, list), f"{what}; of a list show one: un.widget(outputs[0])")
    check(isinstance(trace, Trace), f"{what}; got {result!r:.80}")
    from unspool.page.record_widget import RecordWidget

    return RecordWidget(record="".join(line + "\n" for line in trace.lines()), by=by)
