"""What both lifecycles raise when an event does not fit."""


class IllegalTransition(Exception):
    """The event cannot happen in this state: a bug of ours, or a late, stale or forged decision."""

    def __init__(self, state: str, event: object, because: str = "") -> None:
        name = type(event).__name__
        super().__init__(
            f"{name} cannot happen while {state}" + (f": {because}" if because else "")
        )
        self.state, self.event, self.because = state, event, because
