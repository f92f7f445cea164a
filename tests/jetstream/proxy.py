"""A proxy in front of a server, whose connections a test can cut or silence."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading

from tests.jetstream.servers import PATIENCE
from tests.ports import free_port


class Proxy:
    """Passes connections on to a port of this machine; `close` it.

    Its attribute `port` is where it listens.
    """

    def __init__(self, target):
        self.target = target
        self.port = free_port()
        self._pairs = set()
        self._loop = asyncio.new_event_loop()
        self._loud = asyncio.Event()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._server = self._call(self._serve())

    def cut(self):
        """Abort all connections: both sides get a reset."""
        self._call(self._cut())

    def silence(self):
        """Pass nothing on until `sound`; what comes meanwhile is kept."""
        self._loop.call_soon_threadsafe(self._loud.clear)

    def sound(self):
        """Pass on what has come, and what comes."""
        self._loop.call_soon_threadsafe(self._loud.set)

    def close(self):
        self._call(self._end())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE)
        self._loop.close()

    def _call(self, work):
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE)

    async def _serve(self):
        self._loud.set()
        return await asyncio.start_server(self._accept, "127.0.0.1", self.port)

    async def _accept(self, reader, writer):
        try:
            there, there_writer = await asyncio.open_connection("127.0.0.1", self.target)
        except OSError:
            writer.transport.abort()
            return
        pair = (writer, there_writer)
        self._pairs.add(pair)
        passing = [self._pass(reader, there_writer), self._pass(there, writer)]
        await asyncio.wait([asyncio.ensure_future(each) for each in passing], return_when="FIRST_COMPLETED")
        self._abort(pair)

    async def _pass(self, reader, writer):
        with contextlib.suppress(OSError):
            while data := await reader.read(65536):
                await self._loud.wait()
                writer.write(data)
                await writer.drain()

    def _abort(self, pair):
        self._pairs.discard(pair)
        for writer in pair:
            with contextlib.suppress(OSError):
                found = writer.get_extra_info("socket")
                found.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()

    async def _cut(self):
        for pair in list(self._pairs):
            self._abort(pair)

    async def _end(self):
        self._server.close()
        await self._cut()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
