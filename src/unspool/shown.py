"""The one way up from what is computed to what draws it."""


class Shown:
    """A result that shows itself in a notebook.

    `views/notebook.py` knows how, reads the result's own class, and is imported when it is asked: so a result imports no view.
    """

    def _repr_html_(self) -> str:
        from unspool.views.notebook import html_of

        return html_of(self)
