"""The widget itself: a trace's file on its way to the page's views, and what is selected on its way back."""

from __future__ import annotations

from unspool.errors import MissingExtra
from unspool.page.files import widget_module

try:
    import anywidget
    import traitlets
except ImportError:
    raise MissingExtra("un.widget needs anywidget: pip install 'unspool[notebook]'; results show themselves without it") from None


class RecordWidget(anywidget.AnyWidget):
    """One record, looked at.

    selected: of the token that is chosen its step (from 1), token (None after the last one), text, tokens (all up to it), logprob and
    processed (log-probabilities in nats, None where impossible), rank (1 for the likeliest, None where it was not recorded) and score.
    """

    _esm = widget_module()
    record = traitlets.Unicode(help="The lines of a trace's file.").tag(sync=True)
    by = traitlets.Unicode("probability", help="What the text is coloured by.").tag(sync=True)
    selected = traitlets.Dict(help="What is chosen in it.").tag(sync=True)
