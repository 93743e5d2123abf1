"""Streams that are counted: each holds a seat until it ends, however it ends."""

from collections.abc import AsyncIterator, Mapping

from starlette.responses import StreamingResponse
from starlette.types import Receive, Scope, Send


class SeatedResponse(StreamingResponse):
    """The response has the seat and not the generator: what a cancellation leaves behind refers to
    a generator's frame, and goes only when the garbage collector comes by."""

    def __init__(
        self,
        seat: object,
        parts: AsyncIterator[str] | AsyncIterator[bytes],
        *,
        media_type: str,
        headers: Mapping[str, str],
    ) -> None:
        super().__init__(parts, media_type=media_type, headers=headers)
        self.seat: object | None = seat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See `StreamingResponse`."""
        try:
            await super().__call__(scope, receive, send)
        finally:
            self.seat = None
