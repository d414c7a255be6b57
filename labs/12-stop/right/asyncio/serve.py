"""Says what a word is worth: an HTTP server of a few lines, on an event loop."""

import asyncio
import json
import signal
from pathlib import Path

asked = []


def save():
    with Path("/data/asked.txt").open("a") as file:
        for word in asked:
            print(word, file=file)
    asked.clear()


async def serve(reader, writer):
    _method, path, _version = (await reader.readline()).decode().split()
    while (await reader.readline()).strip():
        pass  # headers
    try:
        status, text = "200 OK", json.loads(Path("/app/model.json").read_text()).get(path[1:], 0)
    except ValueError:
        status, text = "500 Internal Server Error", "no model"
    else:
        asked.append(path[1:])
        if len(asked) == 100:
            save()
    writer.write(f"HTTP/1.0 {status}\r\nContent-Type: text/plain\r\n\r\n{text}\n".encode())
    await writer.drain()
    writer.close()


async def main():
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with await asyncio.start_server(serve, port=8000):
        await stopping.wait()
    save()


asyncio.run(main())
