"""A node that is simulated: scheduler, kubelet, and a provisioner of volumes, as far as the manifests here need them.

Containers are processes in namespaces of their own (container.py), with the user, groups, environment and volumes of the pod and
without capabilities. Volumes are directories; an export of NFS is a directory under `exports`.
"""
import base64
import dataclasses
import http.server
import json
import os
import re
import shutil
import signal
import ssl
import subprocess
import threading
import time
import urllib.parse

import api

NODE, ADDRESS, KUBELET = "node", "127.0.0.1", 10250
SNAPSHOTS = "/apis/snapshot.storage.k8s.io/v1"


class Problem(Exception):
    """Why a container cannot be made, as the kubelet puts it."""


@dataclasses.dataclass
class Image:
    """What stands for an image: `word` is in its name, and the first image that fits is taken."""
    word: str
    root: str
    entry_point: str
    user: int = 0
    # It talks to the API server, and has the network of the node for that: there is no other here.
    talks: bool = False


class Node:

    def __init__(self, work, images):
        self.work, self.images = work, images
        self.pods, self.lock = {}, threading.Lock()
        self.started = []
        # A file that containers wait for before they begin.
        self.gate = None
        for folder in ("pods", "volumes", "exports"):
            os.makedirs(f"{work}/{folder}", exist_ok=True)

    # --- what a cluster expects of a node ---------------------------------------------------------------------------------------

    def start(self):
        api.post("/api/v1/nodes", {"apiVersion": "v1", "kind": "Node", "metadata": {"name": NODE}})
        resources = {"cpu": "8", "memory": "16Gi", "pods": "110", "ephemeral-storage": "20Gi"}
        ready = {"type": "Ready", "status": "True", "reason": "KubeletReady", "message": "ready", "lastHeartbeatTime": api.now(),
                 "lastTransitionTime": api.now()}
        api.merge(f"/api/v1/nodes/{NODE}/status", {"status": {
            "capacity": resources, "allocatable": resources, "conditions": [ready],
            # A host name would be looked up.
            "addresses": [{"type": "InternalIP", "address": ADDRESS}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": KUBELET}}}})
        self.serve_logs()
        threading.Thread(target=self.run, daemon=True).start()

    def run(self):
        while True:
            for job in (self.provision, self.take_snapshots, self.look_at_pods):
                try:
                    job()
                except (api.Refused, OSError) as problem:
                    # Somebody else changed it: the next round sees that.
                    print(f"node: {problem}", flush=True)
            time.sleep(0.2)

    def serve_logs(self):
        node = self

        class Logs(http.server.BaseHTTPRequestHandler):
            def do_GET(self):
                match = re.match(r"/containerLogs/([^/]+)/([^/]+)/", self.path)
                path = match and f"{node.work}/pods/{match[1]}_{match[2]}/log"
                if not match or not os.path.exists(path):
                    self.send_error(404)
                    return
                query = urllib.parse.parse_qs(urllib.parse.urlparse(self.path).query)
                data = open(path, "rb").read()
                if int(query.get("tailLines", ["-1"])[0]) >= 0:
                    data = b"".join(data.splitlines(True)[-int(query["tailLines"][0]):])
                self.send_response(200)
                self.send_header("Content-Type", "text/plain")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        certificate = f"{self.work}/kubelet.pem"
        subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", certificate, "-out", f"{certificate}.crt",
                        "-days", "2", "-subj", f"/CN={NODE}", "-addext", f"subjectAltName=IP:{ADDRESS}"], check=True, capture_output=True)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(f"{certificate}.crt", certificate)
        server = http.server.ThreadingHTTPServer((ADDRESS, KUBELET), Logs)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()

    # --- volumes ----------------------------------------------------------------------------------------------------------------

    def volume_of(self, namespace, claim):
        return f"{self.work}/volumes/{namespace}_{claim}"

    def provision(self):
        """Claims get a directory: as a new file system is, whose root belongs to root, or with what is in a snapshot."""
        for claim in api.items("/api/v1/persistentvolumeclaims"):
            spec, meta = claim["spec"], claim["metadata"]
            if claim["status"].get("phase") != "Pending" or spec.get("volumeName"):
                continue
            source, path = spec.get("dataSourceRef"), self.volume_of(meta["namespace"], meta["name"])
            name = f"pv-{meta['uid']}"
            if api.exists(f"/api/v1/persistentvolumes/{name}"):
                continue
            if source is None:
                os.makedirs(f"{path}/lost+found", mode=0o755, exist_ok=True)
            elif source["kind"] == "VolumeSnapshot":
                snapshot = api.get(f"{SNAPSHOTS}/namespaces/{meta['namespace']}/volumesnapshots/{source['name']}")
                content = snapshot.get("status", {}).get("boundVolumeSnapshotContentName")
                if content is None:
                    continue
                subprocess.run(["cp", "-a", f"{self.work}/volumes/{content}", path], check=True)
            else:
                # That is for a populator.
                continue
            reference = {"kind": "PersistentVolumeClaim", "namespace": meta["namespace"], "name": meta["name"], "uid": meta["uid"]}
            api.post("/api/v1/persistentvolumes", {"apiVersion": "v1", "kind": "PersistentVolume", "metadata": {"name": name}, "spec": {
                "capacity": spec["resources"]["requests"], "accessModes": spec["accessModes"], "hostPath": {"path": path},
                "persistentVolumeReclaimPolicy": "Retain", "storageClassName": spec.get("storageClassName", ""), "claimRef": reference}})

    def take_snapshots(self):
        """A snapshot of a claim is a copy of its directory."""
        if not api.exists(SNAPSHOTS):
            return
        for snapshot in api.items(f"{SNAPSHOTS}/volumesnapshots"):
            meta = snapshot["metadata"]
            if snapshot.get("status", {}).get("readyToUse"):
                continue
            claim = api.get(f"/api/v1/namespaces/{meta['namespace']}/persistentvolumeclaims/{snapshot['spec']['source']['persistentVolumeClaimName']}")
            volume = api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")
            content = f"snapcontent-{meta['uid']}"
            if not os.path.exists(f"{self.work}/volumes/{content}"):
                subprocess.run(["cp", "-a", volume["spec"]["hostPath"]["path"], f"{self.work}/volumes/{content}"], check=True)
            api.merge(f"{SNAPSHOTS}/namespaces/{meta['namespace']}/volumesnapshots/{meta['name']}/status", {"status": {
                "readyToUse": True, "boundVolumeSnapshotContentName": content, "creationTime": api.now(),
                "restoreSize": claim["spec"]["resources"]["requests"]["storage"]}})

    def directory(self, pod, volume, group):
        """The directory of a volume, and whether it may only be read."""
        namespace = pod["metadata"]["namespace"]
        path = f"{self.work}/pods/{namespace}_{pod['metadata']['name']}/volumes/{volume['name']}"
        os.makedirs(path, exist_ok=True)
        if "emptyDir" in volume:
            os.chmod(path, 0o777)
            return path, False
        if "ephemeral" in volume:
            name = f"{pod['metadata']['name']}-{volume['name']}"
            return self.directory(pod, {"name": volume["name"], "persistentVolumeClaim": {"claimName": name}}, group)
        if "persistentVolumeClaim" in volume:
            claim = api.exists(f"/api/v1/namespaces/{namespace}/persistentvolumeclaims/{volume['persistentVolumeClaim']['claimName']}")
            if not claim or claim["status"].get("phase") != "Bound":
                raise Problem(f"persistentvolumeclaim {volume['persistentVolumeClaim']['claimName']} is not bound")
            path = api.get(f"/api/v1/persistentvolumes/{claim['spec']['volumeName']}")["spec"]["hostPath"]["path"]
            if group is not None:
                for folder, _, files in os.walk(path):
                    os.chown(folder, -1, group)
                    os.chmod(folder, os.stat(folder).st_mode | 0o2770)
                    for file in files:
                        os.chown(f"{folder}/{file}", -1, group, follow_symlinks=False)
            return path, volume["persistentVolumeClaim"].get("readOnly", False)
        if "nfs" in volume:
            path = f"{self.work}/exports/{volume['nfs']['server']}{volume['nfs']['path']}"
            if not os.path.isdir(path):
                raise Problem(f"mount.nfs: mounting {volume['nfs']['server']}:{volume['nfs']['path']} failed")
            return path, volume["nfs"].get("readOnly", False)
        if "secret" in volume:
            return written(path, secret(namespace, volume["secret"]["secretName"])), True
        if "configMap" in volume:
            return written(path, config_map(namespace, volume["configMap"]["name"])), True
        if "projected" in volume:
            for source in volume["projected"]["sources"]:
                written(path, self.projected(pod, source))
            return path, True
        raise Problem(f"no such volume here: {volume}")

    def projected(self, pod, source):
        """The files of a source of a projected volume: what a pod needs to talk to the API server."""
        namespace = pod["metadata"]["namespace"]
        if "serviceAccountToken" in source:
            account = f"/api/v1/namespaces/{namespace}/serviceaccounts/{pod['spec'].get('serviceAccountName', 'default')}"
            request = {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}}
            return {source["serviceAccountToken"]["path"]: api.post(f"{account}/token", request)["status"]["token"]}
        if "configMap" in source:
            return config_map(namespace, source["configMap"]["name"])
        if "downwardAPI" in source:
            return {item["path"]: namespace for item in source["downwardAPI"]["items"]}
        raise Problem(f"no such source here: {source}")

    # --- pods -------------------------------------------------------------------------------------------------------------------

    def look_at_pods(self):
        seen = set()
        for pod in api.items("/api/v1/pods"):
            uid = pod["metadata"]["uid"]
            seen.add(uid)
            container = self.pods.get(uid)
            if not pod["spec"].get("nodeName"):
                self.schedule(pod)
            elif pod["metadata"].get("deletionTimestamp"):
                self.end(pod, container)
            elif container is None and pod["status"].get("phase") in (None, "Pending"):
                self.begin(pod)
            elif container is not None:
                container.look(pod)
        for uid in set(self.pods) - seen:
            self.pods.pop(uid).kill(signal.SIGKILL)

    def schedule(self, pod):
        meta = pod["metadata"]
        terms = pod["spec"].get("affinity", {}).get("podAntiAffinity", {}).get("requiredDuringSchedulingIgnoredDuringExecution", [])
        for term in terms:
            wanted = term["labelSelector"]["matchLabels"].items()
            for other in api.items(f"/api/v1/namespaces/{meta['namespace']}/pods"):
                if other["spec"].get("nodeName") and wanted <= other["metadata"].get("labels", {}).items():
                    return
        binding = {"apiVersion": "v1", "kind": "Binding", "metadata": {"name": meta["name"]},
                   "target": {"apiVersion": "v1", "kind": "Node", "name": NODE}}
        api.post(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/binding", binding)

    def begin(self, pod):
        container = pod["spec"]["containers"][0]
        image = next((image for image in self.images if image.word in container["image"]), None)
        try:
            if image is None:
                raise Problem(f"no such image here: {container['image']}")
            self.pods[pod["metadata"]["uid"]] = Container(self, pod, image)
        except Problem as problem:
            waiting = {"waiting": {"reason": "CreateContainerConfigError", "message": str(problem)}}
            status(pod, "Pending", waiting)

    def end(self, pod, container):
        meta = pod["metadata"]
        path = f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}"
        if container is not None and container.poll() is None:
            if container.told is None:
                container.told = time.time()
                container.kill(signal.SIGTERM)
            elif time.time() > container.told + meta.get("deletionGracePeriodSeconds", 30):
                container.kill(signal.SIGKILL)
            return
        if container is not None:
            container.look(pod)
            container.ended_after_term = container.told is not None
        api.text("DELETE", f"{path}?gracePeriodSeconds=0")


class Container:
    """The container of a pod; all pods here have one."""

    def __init__(self, node, pod, image):
        meta, spec = pod["metadata"], pod["spec"]
        container, context = spec["containers"][0], {**spec.get("securityContext", {})}
        own = container.get("securityContext", {})
        context |= own
        base = f"{node.work}/pods/{meta['namespace']}_{meta['name']}"
        os.makedirs(base, exist_ok=True)
        group = spec.get("securityContext", {}).get("fsGroup")
        volumes = {volume["name"]: node.directory(pod, volume, group) for volume in spec.get("volumes", [])}
        user = context.get("runAsUser", image.user)
        if context.get("runAsNonRoot") and user == 0:
            raise Problem("container has runAsNonRoot and image will run as root")
        if own.get("capabilities", {}).get("add"):
            raise Problem("capabilities are not given here")
        environment = variables(pod, container)
        root = f"{base}/root"
        if not os.path.isdir(root):
            shutil.copytree(image.root, root, symlinks=True, copy_function=os.link)
        command = container.get("command", [image.entry_point]) + container.get("args", [])
        expand = lambda word: re.sub(r"\$\((\w+)\)", lambda match: environment.get(match[1], match[0]), word)
        mounts = [[volumes[mount["name"]][0], mount["mountPath"], volumes[mount["name"]][1] or mount.get("readOnly", False)]
                  for mount in container.get("volumeMounts", [])]
        self.spec = {"root": root, "mounts": mounts, "read_only": own.get("readOnlyRootFilesystem", True), "gate": node.gate, "user": user, "group": context.get("runAsGroup", image.user),
                     "groups": [group] if group is not None else [], "command": [expand(word) for word in command],
                     "environment": {"PATH": "/usr/local/bin", "HOSTNAME": meta["name"], **environment}}
        self.talks = image.talks
        if self.talks:
            self.spec["environment"] |= {"KUBERNETES_SERVICE_HOST": api.HOST, "KUBERNETES_SERVICE_PORT": str(api.PORT)}
        self.base, self.container, self.told, self.restarts = base, container, None, 0
        self.ready = self.reported = None
        self.memory, self.processor, self.ended, self.lock = 0, 0.0, None, threading.Lock()
        self.name = f"{meta['namespace']}/{meta['name']}"
        self.start()
        node.started.append(self)

    def start(self):
        with open(f"{self.base}/spec.json", "w") as file:
            json.dump(self.spec, file)
        here = os.path.dirname(os.path.abspath(__file__))
        network = [] if self.talks else ["--net"]
        command = ["unshare", "--mount", "--pid", *network, "--fork", "--kill-child", "python3", f"{here}/container.py", f"{self.base}/spec.json"]
        log = open(f"{self.base}/log", "ab")
        self.process = subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)

    def poll(self):
        """The exit code, once it has ended; what it used is noted then."""
        with self.lock:
            if self.process.returncode is None:
                pid, status, usage = os.wait4(self.process.pid, os.WNOHANG)
                if pid:
                    self.process.returncode = os.waitstatus_to_exitcode(status)
                    self.ended, self.processor = time.time(), usage.ru_utime + usage.ru_stime
                    # Of the largest of its processes.
                    self.memory = max(self.memory, usage.ru_maxrss * 1024)
            return self.process.returncode

    def first(self):
        """The first process of the container."""
        try:
            children = open(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read().split()
        except OSError:
            return None
        return int(children[0]) if children else None

    def kill(self, number):
        first = self.first()
        if first is not None:
            os.kill(first, number)

    def log(self):
        return open(f"{self.base}/log", errors="replace").read()

    def ask(self, path, port):
        """The body of an answer of the container, on its own loopback; None where there is none with status 200."""
        first = self.first()
        if first is None:
            return None
        curl = ["nsenter", f"--net=/proc/{first}/ns/net", "curl", "-sf", "-m", "5", f"http://127.0.0.1:{port}{path}"]
        done = subprocess.run(curl, capture_output=True, text=True)
        return done.stdout if done.returncode == 0 else None

    def execute(self, *command):
        """Runs a command in the container, as `kubectl exec` does."""
        first = self.first()
        if first is None:
            raise Problem("the container has ended")
        spec = self.spec
        # Looked up here: PATH is that of the container.
        enter = [shutil.which("nsenter"), f"--target={first}", "--mount", "--pid", "--net", "--root", "--wd", f"--setgid={spec['group']}",
                 f"--setuid={spec['user']}"]
        return subprocess.run([*enter, *command], env=spec["environment"], capture_output=True, stdin=subprocess.DEVNULL)

    def is_ready(self):
        probe = self.container.get("readinessProbe", {})
        if "exec" in probe:
            return self.execute(*probe["exec"]["command"]).returncode == 0
        probe = probe.get("httpGet")
        if probe is None:
            return True
        ports = {port.get("name"): port["containerPort"] for port in self.container.get("ports", [])}
        return self.ask(probe["path"], ports.get(probe["port"], probe["port"])) is not None

    def look(self, pod):
        code = self.poll()
        if code is None:
            ready = self.is_ready()
            if ready != self.ready:
                status(pod, "Running", {"running": {"startedAt": api.now()}}, ready, self.restarts)
                self.ready = ready
        elif pod["spec"]["restartPolicy"] == "Always" and not pod["metadata"].get("deletionTimestamp"):
            self.restarts, self.ready = self.restarts + 1, None
            time.sleep(1)
            self.start()
        elif self.reported is None:
            self.reported = code = 128 - code if code < 0 else code
            terminated = {"terminated": {"exitCode": code, "reason": "Completed" if code == 0 else "Error", "startedAt": api.now(),
                                         "finishedAt": api.now()}}
            status(pod, "Succeeded" if code == 0 else "Failed", terminated)


def status(pod, phase, state, ready=False, restarts=0):
    meta, container = pod["metadata"], pod["spec"]["containers"][0]
    true = {"PodScheduled", "Initialized"} | ({"Ready", "ContainersReady"} if ready else set())
    conditions = [{"type": kind, "status": str(kind in true), "lastTransitionTime": api.now()}
                  for kind in ("PodScheduled", "Initialized", "Ready", "ContainersReady")]
    api.merge(f"/api/v1/namespaces/{meta['namespace']}/pods/{meta['name']}/status", {"status": {
        "phase": phase, "startTime": pod["status"].get("startTime") or api.now(), "conditions": conditions, "hostIP": ADDRESS,
        "podIP": ADDRESS, "podIPs": [{"ip": ADDRESS}],
        "containerStatuses": [{"name": container["name"], "image": container["image"], "imageID": "", "ready": ready, "started": ready,
                               "restartCount": restarts, "state": state}]}})


def written(path, files):
    """The folder, with these files in it."""
    for name, content in files.items():
        with open(f"{path}/{name}", "w") as file:
            file.write(content)
    return path


def config_map(namespace, name):
    found = api.exists(f"/api/v1/namespaces/{namespace}/configmaps/{name}")
    if found is None:
        raise Problem(f'configmap "{name}" not found')
    return found.get("data", {})


def secret(namespace, name):
    found = api.exists(f"/api/v1/namespaces/{namespace}/secrets/{name}")
    if found is None:
        raise Problem(f'secret "{name}" not found')
    return {key: base64.b64decode(value).decode() for key, value in found.get("data", {}).items()}


def variables(pod, container):
    namespace, environment = pod["metadata"]["namespace"], {}
    for source in container.get("envFrom", []):
        environment |= secret(namespace, source["secretRef"]["name"])
    for variable in container.get("env", []):
        source = variable.get("valueFrom")
        if source is None:
            environment[variable["name"]] = variable.get("value", "")
        elif "secretKeyRef" in source:
            reference = source["secretKeyRef"]
            try:
                value = secret(namespace, reference["name"]).get(reference["key"])
            except Problem:
                if not reference.get("optional"):
                    raise
                value = None
            if value is not None:
                environment[variable["name"]] = value
            elif not reference.get("optional"):
                raise Problem(f"couldn't find key {reference['key']} in Secret {namespace}/{reference['name']}")
        elif "fieldRef" in source:
            match = re.match(r"metadata\.annotations\['(.*)'\]$", source["fieldRef"]["fieldPath"])
            environment[variable["name"]] = pod["metadata"].get("annotations", {}).get(match[1], "")
        else:
            raise Problem(f"no such variable here: {variable}")
    return environment
