"""Talks to the API server."""
import http.client
import json
import ssl
import time

HOST, PORT, TOKEN = "127.0.0.1", 16443, "cluster-test"
CONTEXT = ssl._create_unverified_context()


class Refused(Exception):
    def __init__(self, status, message):
        super().__init__(f"{status}: {message}")
        self.status, self.message = status, message


def text(method, path, body=None, content_type="application/json"):
    connection = http.client.HTTPSConnection(HOST, PORT, context=CONTEXT, timeout=30)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": content_type}
    connection.request(method, path, None if body is None else json.dumps(body), headers)
    response = connection.getresponse()
    data = response.read().decode(errors="replace")
    connection.close()
    if response.status >= 300:
        try:
            message = json.loads(data)["message"]
        except (ValueError, KeyError):
            message = data[:500]
        raise Refused(response.status, message)
    return data


def get(path):
    return json.loads(text("GET", path))


def items(path):
    return get(path)["items"]


def post(path, body):
    return json.loads(text("POST", path, body))


def put(path, body):
    return json.loads(text("PUT", path, body))


def merge(path, body):
    return json.loads(text("PATCH", path, body, "application/merge-patch+json"))


def delete(path):
    """Whether it was there."""
    try:
        text("DELETE", path + "?propagationPolicy=Background")
        return True
    except Refused as refused:
        if refused.status != 404:
            raise
        return False


def exists(path):
    try:
        return get(path)
    except Refused as refused:
        if refused.status != 404:
            raise
        return None


def now():
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def until(what, found, seconds=300):
    """Waits until `found` gives something true, and gives that."""
    end = time.time() + seconds
    while True:
        value = found()
        if value:
            return value
        if time.time() > end:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.2)
