"""A proxy in front of Redis, on a unix socket, that can cut a connection during a command or a reply."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from pathlib import Path

_CHUNK_BYTES = 65_536


class RedisProxy:
    """Runs in its own thread until it is stopped."""

    def __init__(self, path: Path, target: Path) -> None:
        self.path, self._target = path, target
        self._cuts: list[bool] = []
        """Cuts to make: True in a command, False in a reply."""
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="proxy", daemon=True)
        self._is_open = threading.Event()
        self._thread.start()
        self._is_open.wait(10)

    def cut(self, *, in_command: bool) -> None:
        """Cuts the next command or reply in half, on whichever connection it comes."""
        self._loop.call_soon_threadsafe(self._cuts.append, in_command)

    @property
    def is_cutting(self) -> bool:
        """True while a cut is still to be made."""
        return bool(self._cuts)

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(5)

    def _serve(self) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.set_exception_handler(lambda _loop, _context: None)
        self._loop.run_until_complete(asyncio.start_unix_server(self._accept, self.path))
        self._is_open.set()
        self._loop.run_forever()

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            from_redis, to_redis = await asyncio.open_unix_connection(self._target)
        except OSError:
            writer.transport.abort()
            return
        ends = (writer, to_redis)
        await asyncio.gather(
            self._pump(reader, to_redis, ends, is_command=True),
            self._pump(from_redis, writer, ends, is_command=False),
            return_exceptions=True,
        )

    async def _pump(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        ends: tuple[asyncio.StreamWriter, ...],
        *,
        is_command: bool,
    ) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_CHUNK_BYTES):
                is_cut = is_command in self._cuts
                writer.write(data[: len(data) // 2] if is_cut else data)
                await writer.drain()
                if is_cut:
                    self._cuts.remove(is_command)
                    await asyncio.sleep(0.05)
                    break
        for end in ends:
            end.transport.abort()
