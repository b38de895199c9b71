"""What a cluster makes of deploy/: scenarios.py PROGRAM FOLDER-WITH-KUBERNETES WORK

Runs in namespaces of its own (`run` makes them). Each scenario says in a line what it saw in the API server's objects.
"""
import base64
import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time

import api
import operator_stand_in as operator
from control_plane import Kubectl, start
from node import Node

HERE = os.path.dirname(os.path.abspath(__file__))
DEPLOY = os.path.realpath(f"{HERE}/../../../deploy")
CERTIFICATES = os.path.realpath(f"{HERE}/../../../testdata/tls")
EXPORT = "exports/nas.example/export/kopia"
PASSWORD = "testkit"
# The user of deploy/existence and deploy/verify: Kopia's files are readable for their owner alone.
OWNER = 568
CLAIMS, NAMESPACES = 24, 18
TEMPLATE = "{pvc}@{namespace}:/data"


class Cluster:
    def __init__(self, program, programs, work):
        self.work, self.kubectl = work, Kubectl(programs, work)
        os.makedirs(work, exist_ok=True)
        self.make_image(program)
        self.make_repository(os.path.join(os.path.dirname(program), "examples/testkit"))
        start(programs, work)
        self.node = Node(work, [("rokopia", f"{work}/image")])
        self.node.start()
        self.kubectl.apply(open(f"{HERE}/crds.yaml").read())
        api.until("the kinds of others are known", lambda: "replicationdestinations" in self.kubectl("api-resources"))
        for name in ("volsync-system", "apps"):
            self.namespace(name)

    def make_image(self, program):
        """The root of the image, with the libraries that a program which is not static needs."""
        root = f"{self.work}/image"
        for folder in ("usr/local/bin", "proc", "volumes", "tmp"):
            os.makedirs(f"{root}/{folder}", exist_ok=True)
        shutil.copy(program, f"{root}/usr/local/bin/rokopia")
        listed = subprocess.run(["ldd", program], capture_output=True, text=True).stdout
        for library in re.findall(r"(/\S+)", listed):
            os.makedirs(root + os.path.dirname(library), exist_ok=True)
            shutil.copy(library, root + library)
        os.makedirs(f"{root}/mover-kopia", exist_ok=True)
        os.symlink("/usr/local/bin/rokopia", f"{root}/mover-kopia/entry.sh")

    def make_repository(self, testkit):
        self.repository = f"{self.work}/{EXPORT}"
        os.makedirs(os.path.dirname(self.repository))
        subprocess.run([testkit, "fleet", self.repository, "--sources", str(CLAIMS), "--hosts", str(NAMESPACES),
                        "--snapshots", str(2 * CLAIMS), "--index-blobs", "8"], check=True, capture_output=True)
        for folder, _, files in os.walk(self.repository):
            for path in [folder, *(f"{folder}/{file}" for file in files)]:
                os.chown(path, OWNER, OWNER)
                os.chmod(path, 0o700 if path == folder else 0o600)

    def namespace(self, name):
        create("/api/v1/namespaces", {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})

    def secret(self, namespace, name, values):
        data = {key: base64.b64encode(value.encode()).decode() for key, value in values.items()}
        create(f"/api/v1/namespaces/{namespace}/secrets", {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": data})

    def pods(self, namespace, label):
        return api.items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={label.replace('=', '%3D')}")


def create(path, body):
    """Makes an object, unless it is there."""
    try:
        api.post(path, body)
    except api.Refused as refused:
        if refused.status != 409:
            raise


SCENARIOS = []


def scenario(function):
    SCENARIOS.append(function)
    return function


def is_ready(pod):
    return any(entry["type"] == "Ready" and entry["status"] == "True" for entry in pod["status"].get("conditions", []))


@scenario
def every_kustomization_is_accepted(cluster):
    count = 0
    for folder, _, files in sorted(os.walk(DEPLOY)):
        if "kustomization.yaml" not in files:
            continue
        text = cluster.kubectl.kustomize(folder)
        if "kind: Component" in open(f"{folder}/kustomization.yaml").read() or not text.strip():
            continue
        cluster.kubectl("apply", "--server-side", "--dry-run=server", "-f", "-", text=text)
        count += 1
    assert count > 8, count
    return f"{count} kustomizations of deploy/ are accepted by the API server"


@scenario
def the_existence_service_gets_ready_and_answers(cluster):
    cluster.secret("volsync-system", "pvc-plumber-kopia", {"KOPIA_PASSWORD": PASSWORD})
    text = cluster.kubectl.kustomize(f"{DEPLOY}/existence")
    first = "        env:\n"
    assert text.count(first) == 1, text
    cluster.kubectl.apply(text.replace(first, first + f"        - name: ROKOPIA_SOURCE_TEMPLATE\n          value: '{TEMPLATE}'\n"))
    pods = lambda: cluster.pods("volsync-system", "app.kubernetes.io/name=rokopia-exists")
    api.until("both pods are ready", lambda: sum(map(is_ready, pods())) == 2)
    container = next(started for started in cluster.node.started if "rokopia-exists" in started.name)
    answer = json.loads(container.ask("/exists/night-03/volume-00003", 8080) or "{}")
    assert answer.get("exists") is True, answer
    answer = json.loads(container.ask("/exists/night-03/nothing", 8080) or "{}")
    assert answer.get("exists") is False, answer
    return "2 pods of the existence service are ready as user 568 and tell a backup from none"


@scenario
def a_storage_that_goes_away_leaves_the_service_ready(cluster):
    container = next(started for started in cluster.node.started if "rokopia-exists" in started.name)
    os.rename(cluster.repository, cluster.repository + ".away")
    os.mkdir(cluster.repository, 0o700)
    try:
        time.sleep(12)
        pods = cluster.pods("volsync-system", "app.kubernetes.io/name=rokopia-exists")
        assert all(map(is_ready, pods)), pods
        answer = json.loads(container.ask("/exists/night-03/volume-00003", 8080) or "{}")
        assert answer.get("exists") is not False, answer
    finally:
        os.rmdir(cluster.repository)
        os.rename(cluster.repository + ".away", cluster.repository)
    return "with the storage away the pods stay ready and no backup is denied"


def destination(cluster, namespace, name, volume, host, **more):
    """A destination that restores one source of the fleet into a claim of its own."""
    kopia = {"repository": "kopia-repository", "copyMethod": "Direct", "capacity": "1Gi", "accessModes": ["ReadWriteOnce"],
             "sourceIdentity": {"sourceName": volume, "sourceNamespace": host}, "moverSecurityContext": {
                 "runAsUser": OWNER, "runAsGroup": OWNER, "fsGroup": OWNER}, **more}
    cluster.secret(namespace, "kopia-repository", {"KOPIA_REPOSITORY": "filesystem:///mnt/repository", "KOPIA_PASSWORD": PASSWORD})
    api.post(f"/apis/volsync.backube/v1alpha1/namespaces/{namespace}/replicationdestinations", {
        "apiVersion": "volsync.backube/v1alpha1", "kind": "ReplicationDestination", "metadata": {"name": name},
        "spec": {"trigger": {"manual": "restore-once"}, "kopia": kopia}})


def restored(cluster, namespace, name):
    """The files in the claim of a destination."""
    root = cluster.node.volume_of(namespace, f"volsync-{name}-dest")
    return sorted(entry for entry in os.listdir(root) if entry != "lost+found")


@scenario
def the_admission_policy_gives_restores_to_rokopia(cluster):
    cluster.kubectl.apply(cluster.kubectl.kustomize(f"{DEPLOY}/volsync/admission-policy"))
    destination(cluster, "apps", "one", "volume-00001", "night-01")
    # A policy is in force a moment after it is stored.
    time.sleep(3)
    outcome = operator.reconcile("apps", "one")
    assert outcome.result == "Successful", f"{outcome.result} {outcome.logs}"
    assert "rokopia" in outcome.image and outcome.immutable == 0 and outcome.updates > 0, vars(outcome)
    assert restored(cluster, "apps", "one") == ["data.bin"], restored(cluster, "apps", "one")
    status = api.get(operator.path_of("apps", "one"))["status"]["latestMoverStatus"]
    assert "Snapshot restore completed" in status["logs"], status
    return f"a restore Job gets the image and the export, {outcome.updates} updates of the operator are accepted, the data is there"


@scenario
def a_failed_restore_says_why_in_the_status(cluster):
    destination(cluster, "apps", "strict", "nobody", "night-01", additionalArgs=["--rokopia-strict"])
    outcome = operator.reconcile("apps", "strict")
    assert outcome.result == "Failed", vars(outcome)
    assert "nobody" in outcome.logs, outcome.logs
    assert restored(cluster, "apps", "strict") == []
    return "a strict restore of an unknown source fails, the status names it, and the volume stays empty"


@scenario
def the_nightly_verification_is_clean(cluster):
    cluster.secret("apps", "kopia-repository-verify", {"KOPIA_PASSWORD": PASSWORD})
    text = cluster.kubectl.kustomize(f"{DEPLOY}/verify").replace("name: kopia-repository", "name: kopia-repository-verify")
    namespace = re.search(r"^  namespace: (\S+)", text, re.M)
    namespace = namespace[1] if namespace else "default"
    if namespace != "apps":
        cluster.namespace(namespace)
        cluster.secret(namespace, "kopia-repository-verify", {"KOPIA_PASSWORD": PASSWORD})
    cluster.kubectl("apply", "--server-side", "-n", namespace, "-f", "-", text=text)
    cluster.kubectl("create", "job", "now", "--from=cronjob/rokopia-verify", "-n", namespace)

    def over():
        conditions = api.get(f"/apis/batch/v1/namespaces/{namespace}/jobs/now").get("status", {}).get("conditions", [])
        return {entry["type"] for entry in conditions if entry["status"] == "True"} & {"Complete", "Failed"}

    ended = api.until("the verification ends", over)
    container = next(started for started in cluster.node.started if "/now-" in started.name)
    assert "Complete" in ended, container.log()
    state = cluster.node.volume_of(namespace, "rokopia-verify")
    assert {"ledger", "report.json", "rokopia_verify.prom"} <= set(os.listdir(state)), os.listdir(state)
    return "the CronJob's Job ends as Complete, with ledger, report and metrics in its claim"


class Webhook:
    """`rokopia serve --admission`, reached by a URL: no proxy of services runs here."""

    def __init__(self, cluster, repository):
        self.cluster, self.repository = cluster, repository
        text = open(f"{DEPLOY}/existence/webhook/webhooks.yaml").read()
        bundle = base64.b64encode(open(f"{CERTIFICATES}/first.crt", "rb").read()).decode()
        service = re.compile(r"clientConfig:\n      service:\n        name: (\S+)\n        namespace: (\S+)\n        path: (\S+)\n        port: 443")
        text, count = service.subn(rf"clientConfig:\n      url: https://\1.\2.svc:8443\3\n      caBundle: {bundle}", text)
        assert count == 2, text
        with open("/etc/hosts", "a") as hosts:
            hosts.write("127.0.0.1 rokopia-admission.volsync-system.svc\n")
        self.start()
        cluster.kubectl.apply(text)

    def start(self, awaited="/v1/ready"):
        """Starts it, and waits until it answers this path with 200."""
        program = f"{self.cluster.work}/image/usr/local/bin/rokopia"
        environment = {"KOPIA_REPOSITORY_PATH": self.repository, "KOPIA_PASSWORD": PASSWORD, "ROKOPIA_LISTEN": "127.0.0.1:8080",
                       "ROKOPIA_ADMISSION_LISTEN": "127.0.0.1:8443", "ROKOPIA_SOURCE_TEMPLATE": TEMPLATE,
                       "ROKOPIA_TLS_CERT": f"{CERTIFICATES}/first.crt", "ROKOPIA_TLS_KEY": f"{CERTIFICATES}/first.key"}
        log = open(f"{self.cluster.work}/webhook.log", "ab")
        self.process = subprocess.Popen([program, "serve", "--admission"], env=environment, stdout=log, stderr=log)
        ask = ["curl", "-sf", "-o", "/dev/null", f"http://127.0.0.1:8080{awaited}"]
        api.until(f"the webhook answers {awaited}", lambda: subprocess.run(ask).returncode == 0)

    def stop(self):
        self.process.terminate()
        self.process.wait()


def claim(name, **annotations):
    return {"apiVersion": "v1", "kind": "PersistentVolumeClaim",
            "metadata": {"name": name, "labels": {"backup": "daily"}, "annotations": annotations},
            "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}


def claims(namespace):
    return f"/api/v1/namespaces/{namespace}/persistentvolumeclaims"


@scenario
def claims_wait_or_are_restored_or_are_fresh(cluster):
    webhook = cluster.webhook = Webhook(cluster, cluster.repository)
    cluster.namespace("night-01")

    def injected():
        """A configuration is in force a moment after it is stored."""
        api.delete(f"{claims('night-01')}/volume-00001")
        return "dataSourceRef" in api.post(claims("night-01"), claim("volume-00001"))["spec"]

    api.until("the webhook is in force", injected)
    made = api.get(f"{claims('night-01')}/volume-00001")["spec"]["dataSourceRef"]
    assert (made["kind"], made["name"]) == ("ReplicationDestination", "volume-00001-backup"), made
    assert "dataSourceRef" not in api.post(claims("night-01"), claim("fresh"))["spec"]
    webhook.stop()
    for name in ("volume-00019", "fresh-too"):
        try:
            api.post(claims("night-01"), claim(name))
            raise AssertionError(f"{name} was created while nobody answered")
        except api.Refused as refused:
            assert "rokopia" in refused.message, refused.message
    webhook.repository = cluster.repository + ".missing"
    shutil.copytree(cluster.repository, webhook.repository)
    # The packs of manifests stay: there were snapshots, and which ones nobody knows.
    for folder in os.listdir(webhook.repository):
        if folder.startswith("x"):
            shutil.rmtree(f"{webhook.repository}/{folder}")
    webhook.start(awaited="/healthz")
    try:
        api.post(claims("night-01"), claim("volume-00019"))
        raise AssertionError("a claim was created while nobody could know")
    except api.Refused as refused:
        assert "not known" in refused.message, refused.message
        told = refused.message[:160]
    webhook.stop()
    webhook.repository = cluster.repository
    webhook.start()
    api.delete(f"{claims('night-01')}/volume-00001")
    api.until("the claim is gone", lambda: not api.exists(f"{claims('night-01')}/volume-00001"))
    return f"a claim with a backup gets its source, one without is created, both wait while nobody answers or the repository is damaged ({told!r})"


@scenario
def the_night_of_a_rebuild(cluster):
    """24 claims in 18 namespaces at the same time; the storage is away and the webhook restarted in between."""
    began, bound, errors = time.time(), [], []
    webhook = cluster.webhook

    def rebuild(number):
        namespace, volume = f"night-{number % NAMESPACES:02}", f"volume-{number:05}"
        try:
            cluster.namespace(namespace)
            destination(cluster, namespace, f"{volume}-backup", volume, namespace)
            wanted = claim(volume)
            # The operator of the application tries again, as every controller does.
            made = api.until(f"{namespace}/{volume} is admitted", lambda: admitted(namespace, wanted), 300)
            reference = made["spec"].get("dataSourceRef", {})
            assert reference.get("name") == f"{volume}-backup", f"{namespace}/{volume} starts empty: {made['spec']}"
            outcome = operator.Outcome()
            end = time.time() + 300
            while outcome.result != "Successful" and time.time() < end:
                outcome = operator.reconcile(namespace, f"{volume}-backup", 300)
            assert outcome.result == "Successful" and outcome.immutable == 0, f"{volume}: {vars(outcome)}"
            operator.populate(cluster.node, namespace, volume, f"volsync-{volume}-backup-dest")
            api.until(f"{namespace}/{volume} is bound",
                      lambda: api.get(f"{claims(namespace)}/{volume}")["status"].get("phase") == "Bound")
            assert restored(cluster, namespace, f"{volume}-backup") == ["data.bin"]
            bound.append(time.time() - began)
        except Exception as problem:  # noqa: BLE001 — told with the others below
            errors.append(f"{namespace}/{volume}: {problem!r}")

    threads = [threading.Thread(target=rebuild, args=(number,)) for number in range(CLAIMS)]
    for thread in threads:
        thread.start()
    time.sleep(3)
    os.rename(cluster.repository, cluster.repository + ".away")
    webhook.stop()
    time.sleep(5)
    os.rename(cluster.repository + ".away", cluster.repository)
    webhook.start()
    for thread in threads:
        thread.join()
    assert not errors, "\n".join(errors)
    assert len(bound) == CLAIMS
    return f"{CLAIMS} claims in {NAMESPACES} namespaces are restored and bound, none fresh; the first after {min(bound):.0f} s, the last after {max(bound):.0f} s"


def admitted(namespace, wanted):
    try:
        return api.post(claims(namespace), wanted)
    except api.Refused as refused:
        if "rokopia" in refused.message or "not known" in refused.message:
            return None
        raise


def main():
    program, programs, work = sys.argv[1:]
    cluster = Cluster(program, programs, work)
    failed = 0
    for run in SCENARIOS:
        try:
            print(f"cluster: {run(cluster)}", flush=True)
        except (AssertionError, api.Refused, OSError, StopIteration) as problem:
            failed += 1
            print(f"cluster: {run.__name__} FAILED: {problem}", flush=True)
    print(f"{len(SCENARIOS) - failed} passed, {failed} failed", flush=True)
    sys.exit(1 if failed else 0)


main()
