"""Claims and the webhook: what it answers, and what becomes of claims while it cannot."""
import base64
import contextlib
import http.server
import json
import os
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import api
from cluster import DEPLOY, PASSWORD, TEMPLATE, claim, claims, scenario

CERTIFICATES = os.path.realpath(f"{DEPLOY}/../testdata/tls")
CONFIGURATIONS = [f"/apis/admissionregistration.k8s.io/v1/{kind}/rokopia-claims"
                  for kind in ("mutatingwebhookconfigurations", "validatingwebhookconfigurations")]


class Webhook:
    """`rokopia serve --admission`, reached by a URL: no proxy of services runs here."""

    def __init__(self, cluster):
        self.cluster, self.repository, self.tls = cluster, cluster.repository, f"{cluster.work}/tls"
        os.makedirs(self.tls)
        self.certify("first")
        text = open(f"{DEPLOY}/existence/webhook/webhooks.yaml").read()
        service = re.compile(r"clientConfig:\n      service:\n        name: (\S+)\n        namespace: (\S+)\n        path: (\S+)\n        port: 443")
        text, count = service.subn(rf"clientConfig:\n      url: https://\1.\2.svc:8443\3\n      caBundle: {bundle('first')}", text)
        assert count == 2, text
        with open("/etc/hosts", "a") as hosts:
            hosts.write("127.0.0.1 rokopia-admission.volsync-system.svc\n")
        self.start()
        cluster.kubectl.apply(text)
        cluster.namespace("night-01")
        api.until("the webhook is in force", lambda: restored_from("night-01", "volume-00001"))
        api.delete(f"{claims('night-01')}/volume-00001")
        api.until("the claim is gone", lambda: not api.exists(f"{claims('night-01')}/volume-00001"))

    def certify(self, name):
        """Puts this certificate and its key into the files of the service; none for None."""
        for kind in ("crt", "key"):
            path = f"{self.tls}/tls.{kind}"
            if name is None:
                os.remove(path)
            else:
                shutil.copy(f"{CERTIFICATES}/{name}.{kind}", f"{path}.new")
                os.rename(f"{path}.new", path)

    def launch(self):
        program = f"{self.cluster.work}/image/usr/local/bin/rokopia"
        environment = {"KOPIA_REPOSITORY_PATH": self.repository, "KOPIA_PASSWORD": PASSWORD, "ROKOPIA_LISTEN": "127.0.0.1:8080",
                       "ROKOPIA_ADMISSION_LISTEN": "127.0.0.1:8443", "ROKOPIA_SOURCE_TEMPLATE": TEMPLATE,
                       "ROKOPIA_TLS_CERT": f"{self.tls}/tls.crt", "ROKOPIA_TLS_KEY": f"{self.tls}/tls.key",
                       "AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test"}
        log = open(f"{self.cluster.work}/webhook.log", "ab")
        self.process = subprocess.Popen([program, "serve", "--admission"], env=environment, stdout=log, stderr=log)

    def start(self, awaited="/v1/ready"):
        """Starts it, and waits until it answers this path with 200."""
        self.launch()
        ask = ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:8080{awaited}"]
        api.until(f"the webhook answers {awaited}", lambda: subprocess.run(ask).returncode == 0)

    def stop(self):
        self.process.terminate()
        self.process.wait()

    def log(self):
        return open(f"{self.cluster.work}/webhook.log", errors="replace").read()


def webhook_of(cluster):
    """The webhook, which the first scenario that needs it starts."""
    if not hasattr(cluster, "webhook"):
        cluster.webhook = Webhook(cluster)
    return cluster.webhook


def bundle(name):
    return base64.b64encode(open(f"{CERTIFICATES}/{name}.crt", "rb").read()).decode()


def restored_from(namespace, name):
    """Creates a claim; whether it got its backup as its source."""
    api.delete(f"{claims(namespace)}/{name}")
    api.until("the claim is gone", lambda: not api.exists(f"{claims(namespace)}/{name}"))
    return "dataSourceRef" in api.post(claims(namespace), claim(name))["spec"]


def assert_closed(namespace="night-01", names=("volume-00019", "fresh-too")):
    """Neither a claim with a backup nor one without is created; the longest message of the API server."""
    messages = []
    for name in names:
        try:
            api.post(claims(namespace), claim(name))
        except api.Refused as refused:
            assert "rokopia" in refused.message, refused.message
            messages.append(refused.message)
        else:
            raise AssertionError(f"{name} was created")
        assert not api.exists(f"{claims(namespace)}/{name}")
    return max(messages, key=len)


def assert_open(namespace="night-01"):
    """A claim with a backup gets it as its source, and one without is created, as soon as the cause is gone."""

    def answers():
        try:
            return restored_from(namespace, "volume-00019")
        except api.Refused:
            return False

    api.until("the webhook answers again", answers)
    assert not restored_from(namespace, "fresh-too")
    for name in ("volume-00019", "fresh-too"):
        api.delete(f"{claims(namespace)}/{name}")
        api.until("the claim is gone", lambda: not api.exists(f"{claims(namespace)}/{name}"))


@scenario
def claims_are_restored_or_fresh_by_what_is_in_the_repository(cluster):
    webhook_of(cluster)
    assert restored_from("night-01", "volume-00001")
    source = api.get(f"{claims('night-01')}/volume-00001")["spec"]["dataSourceRef"]
    assert (source["kind"], source["name"]) == ("ReplicationDestination", "volume-00001-backup"), source
    assert not restored_from("night-01", "fresh")
    for name in ("volume-00001", "fresh"):
        api.delete(f"{claims('night-01')}/{name}")
        api.until("the claim is gone", lambda: not api.exists(f"{claims('night-01')}/{name}"))
    return "a claim with a backup gets it as its source, one without is created as it is"


@scenario
def claims_wait_while_the_webhook_is_down(cluster):
    webhook = webhook_of(cluster)
    webhook.stop()
    assert_closed()
    webhook.start()
    assert_open()
    return "the webhook down: no claim is created; started again, it answers as before"


@scenario
def claims_wait_while_the_webhook_stands_still(cluster):
    """The process lives and accepts connections, and nothing answers."""
    webhook = webhook_of(cluster)
    webhook.process.send_signal(signal.SIGSTOP)
    began = time.time()
    message = assert_closed(names=("volume-00019",))
    took = time.time() - began
    webhook.process.send_signal(signal.SIGCONT)
    assert_open()
    return f"the webhook standing still: refused after {took:.0f} s ({message[-60:]!r})"


@scenario
def claims_wait_while_the_repository_is_damaged(cluster):
    webhook = webhook_of(cluster)
    webhook.stop()
    webhook.repository = cluster.repository + ".damaged"
    shutil.copytree(cluster.repository, webhook.repository)
    # The packs of manifests stay: there were snapshots, and which ones nobody knows.
    for folder in os.listdir(webhook.repository):
        if folder.startswith("x"):
            shutil.rmtree(f"{webhook.repository}/{folder}")
    webhook.start(awaited="/healthz")
    message = assert_closed()
    assert "not known" in message, message
    webhook.stop()
    webhook.repository = cluster.repository
    webhook.start()
    assert_open()
    return f"all indexes gone: no claim is created, and the message says why ({message[:160]!r})"


@scenario
def claims_wait_while_the_storage_is_slow(cluster):
    """A bucket that accepts connections and answers nothing."""
    webhook = webhook_of(cluster)
    webhook.stop()
    silent = socket.create_server(("127.0.0.1", 19000))
    webhook.repository = "s3://kopia/?endpoint=http://127.0.0.1:19000"
    webhook.start(awaited="/healthz")
    began = time.time()
    message = assert_closed()
    took = (time.time() - began) / 2
    assert "not known" in message and took < 10, (took, message)
    webhook.stop()
    silent.close()
    webhook.repository = cluster.repository
    webhook.start()
    assert_open()
    return f"storage that does not answer: each claim is refused after {took:.0f} s ({message[80:240]!r})"


class Liar(http.server.BaseHTTPRequestHandler):
    """Something else at the address of the webhook, with its certificate."""
    answer = None

    def do_POST(self):
        review = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        status, content_type, body = type(self).answer(review)
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def liar(webhook):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(f"{webhook.tls}/tls.crt", f"{webhook.tls}/tls.key")
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 8443), Liar)
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()


def reviewed(review, **response):
    answer = {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
              "response": {"uid": review["request"]["uid"], "allowed": True, **response}}
    return 200, "application/json", json.dumps(answer).encode()


WRONG_ANSWERS = {
    "a page": lambda review: (200, "text/html", b"<html>welcome</html>"),
    "nothing": lambda review: (200, "application/json", b""),
    "an error": lambda review: (500, "text/plain", b"internal error"),
    "a redirection": lambda review: (302, "text/plain", b""),
    "half an answer": lambda review: (200, "application/json", reviewed(review)[2][:40]),
    "an answer to another question": lambda review: reviewed(review, uid="00000000-0000-0000-0000-000000000000"),
    "an answer without a response": lambda review: (200, "application/json",
                                                    b'{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}'),
    "a patch that is none": lambda review: reviewed(review, patchType="JSONPatch", patch=base64.b64encode(b"not a patch").decode()),
}


@scenario
def claims_wait_while_something_else_answers(cluster):
    webhook = webhook_of(cluster)
    webhook.stop()
    with liar(webhook):
        for name, answer in WRONG_ANSWERS.items():
            Liar.answer = staticmethod(answer)
            try:
                assert_closed()
            except AssertionError as problem:
                raise AssertionError(f"{name}: {problem}") from problem
    webhook.start()
    assert_open()
    return f"at its address something that answers with {', '.join(WRONG_ANSWERS)}: no claim is created"


@scenario
def claims_wait_while_the_certificate_is_not_trusted(cluster):
    webhook = webhook_of(cluster)
    # Renewed by another issuer, before the configuration knows that one. The API server keeps a connection that it trusted.
    webhook.certify("second")
    webhook.stop()
    webhook.start()
    message = assert_closed()
    assert "certificate" in message, message
    for path in CONFIGURATIONS:
        set_bundle(path, "second")
    assert_open()
    # Renewed with its trust: the service reads the files by itself.
    webhook.certify("first")
    for path in CONFIGURATIONS:
        set_bundle(path, "first")
    assert_open()
    return f"a certificate of another issuer: no claim is created ({message[-70:]!r}); one that is trusted is taken over without a restart"


@scenario
def claims_wait_while_the_certificate_is_gone(cluster):
    webhook = webhook_of(cluster)
    webhook.certify(None)
    time.sleep(5)
    # The one that was read is good still: it goes on.
    assert_open()
    webhook.stop()
    webhook.launch()
    code = webhook.process.wait(60)
    assert code not in (0, None), code
    assert_closed()
    webhook.certify("first")
    webhook.start()
    assert_open()
    return f"the certificate's files gone: it goes on with the one it has; started anew it ends with exit code {code}, and no claim is created"


def set_bundle(path, name):
    """Makes the API server trust this certificate."""
    webhooks = api.get(path)["webhooks"]
    for entry in webhooks:
        entry["clientConfig"]["caBundle"] = bundle(name)
    api.merge(path, {"webhooks": webhooks})
