"""A client's connection, ended if it costs the server more than an observation may."""

import asyncio
from collections.abc import Callable, Iterable

import websockets.asyncio.server
from websockets.frames import DATA_OPCODES, Frame

# Bytes that are read and parsed at a time: nobody else is answered meanwhile.
SLICE = 8 << 10
# Frames a second of less than SMALL bytes. A robot sends an observation each few milliseconds at
# most, and libraries that send it in parts make them larger.
MAX_FRAMES, SMALL = 1000, 1024
# Bytes of replies that wait to be read. A chunk of actions has kilobytes.
MAX_UNREAD = 1 << 20


class Connection(websockets.asyncio.server.ServerConnection):
    """A WebSocket that is closed at once if its client

    - leaves a message unfinished for `message_s` seconds ("unfinished");
    - does not read its replies ("unread");
    - sends many small frames, which cost more than they weigh ("frames");
    - began the oldest message that is unfinished, where all clients' messages that are to be
      finished or answered have more than `max_held` bytes together ("memory").
    """

    def __init__(
        self,
        *args,
        message_s: float,
        max_held: int,
        everyone: Callable[[], Iterable["Connection"]],
        dropped: Callable[[str], None],
        **kwargs,
    ):
        super().__init__(*args, **kwargs)
        self._message_s, self._max_held = message_s, max_held
        self._everyone, self._dropped = everyone, dropped
        self._unfinished: asyncio.TimerHandle | None = None
        self._parts = 0  # bytes of a message of several frames that came in so far
        self._in_parts = False
        self._frames, self._second = 0, 0

    @property
    def held(self) -> int:
        """Bytes of messages that are not finished, or wait to be answered."""
        if self.transport.is_closing():
            return 0
        waiting = sum(len(frame.data) for frame in self.recv_messages.frames.queue)
        return len(self.protocol.reader.buffer) + waiting + self._parts

    def drop(self, why: str) -> None:
        """Ends the connection without waiting for its client."""
        if not self.transport.is_closing():
            self._dropped(why)
            self.transport.abort()

    def connection_made(self, transport) -> None:
        super().connection_made(transport)
        transport.max_size = SLICE  # asyncio's own is 256 KB

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._frames > MAX_FRAMES:
            self.drop("frames")
        elif self.transport.get_write_buffer_size() > MAX_UNREAD:
            self.drop("unread")
        if self.transport.is_closing():
            return
        started = bool(self.protocol.reader.buffer) or self._in_parts
        if started and self._unfinished is None:
            self._unfinished = self.loop.call_later(self._message_s, self._late)
        if started and sum(one.held for one in self._everyone()) > self._max_held:
            waiting = [one for one in self._everyone() if one._unfinished]
            min(waiting, key=lambda one: one._unfinished.when(), default=self).drop("memory")

    def process_event(self, event) -> None:
        if isinstance(event, Frame):
            self._count(len(event.data))
            if event.opcode in DATA_OPCODES:
                self._in_parts = not event.fin
                self._parts = self._parts + len(event.data) if self._in_parts else 0
            if not self._in_parts:
                self._finished()
        super().process_event(event)

    def connection_lost(self, exc: Exception | None) -> None:
        self._finished()
        super().connection_lost(exc)

    def _count(self, size: int) -> None:
        second = int(self.loop.time())
        if second != self._second:
            self._frames, self._second = 0, second
        self._frames += size < SMALL

    def _finished(self) -> None:
        if self._unfinished:
            self._unfinished.cancel()
        self._unfinished = None

    def _late(self) -> None:
        # While earlier messages wait to be answered, nothing is read: that is not the client's.
        self._unfinished = None
        if self.recv_messages.paused:
            self._unfinished = self.loop.call_later(self._message_s, self._late)
        else:
            self.drop("unfinished")
