"""An aiohttp application that does no work: `python -m benchmarks.idle PORT BODY`.

It reads what was posted, as any application must, and answers with the same bytes each time.
"""

import sys

import uvloop
from aiohttp import web


def main(port: int, body: bytes) -> None:
    async def answer(request: web.Request) -> web.Response:
        await request.read()
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_post("/api/v1/parse", answer)
    web.run_app(
        application,
        host="127.0.0.1",
        port=port,
        loop=uvloop.new_event_loop(),
        access_log=None,
        print=None,
    )


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2].encode())
