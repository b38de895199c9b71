"""etcd, kube-apiserver and kube-controller-manager on the loopback of this network namespace."""
import os
import subprocess

import api


def start(programs, work):
    """Starts what is in the folder `programs`, keeps logs in `work`, and waits until the API server is ready. Gives its certificate."""
    os.makedirs(work, exist_ok=True)
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    # What the API server gives as its own address may not be a loopback address.
    subprocess.run(["ip", "address", "add", "10.96.0.1/32", "dev", "lo"], check=True)
    key = f"{work}/service-accounts.key"
    subprocess.run(["openssl", "genrsa", "-out", key, "2048"], check=True, capture_output=True)
    with open(f"{work}/tokens.csv", "w") as file:
        file.write(f"{api.TOKEN},admin,admin,system:masters\n")
    with open(f"{work}/kubeconfig", "w") as file:
        file.write(f"""apiVersion: v1
kind: Config
current-context: test
contexts: [{{name: test, context: {{cluster: test, user: admin}}}}]
clusters: [{{name: test, cluster: {{server: "https://{api.HOST}:{api.PORT}", insecure-skip-tls-verify: true}}}}]
users: [{{name: admin, user: {{token: {api.TOKEN}}}}}]
""")
    start_program(work, ["etcd", "--data-dir", f"{work}/etcd", "--listen-client-urls", "http://127.0.0.1:12379", "--advertise-client-urls",
                         "http://127.0.0.1:12379", "--listen-peer-urls", "http://127.0.0.1:12380", "--unsafe-no-fsync"])
    start_program(work, [
        f"{programs}/kube-apiserver", "--etcd-servers=http://127.0.0.1:12379", f"--bind-address={api.HOST}", f"--secure-port={api.PORT}",
        "--advertise-address=10.96.0.1", f"--cert-dir={work}/api", f"--service-account-key-file={key}",
        f"--service-account-signing-key-file={key}", "--service-account-issuer=https://kubernetes.default.svc",
        "--service-cluster-ip-range=10.96.0.0/16", f"--token-auth-file={work}/tokens.csv", "--authorization-mode=RBAC",
        "--allow-privileged=true", "--endpoint-reconciler-type=none"])
    api.until("the API server is ready", is_ready)
    start_program(work, [
        f"{programs}/kube-controller-manager", f"--kubeconfig={work}/kubeconfig", "--leader-elect=false",
        f"--service-account-private-key-file={key}", f"--root-ca-file={work}/api/apiserver.crt", "--bind-address=127.0.0.1",
        # As fast as it can: what is timed here is not its patience.
        "--kube-api-qps=500", "--kube-api-burst=1000", "--pvclaimbinder-sync-period=1s",
        # Nobody here tells the health of a node.
        "--controllers=*,-bootstrap-signer-controller,-token-cleaner-controller,-node-lifecycle-controller,"
        "-taint-eviction-controller,-node-ipam-controller"])


def start_program(work, command):
    log = open(f"{work}/{os.path.basename(command[0])}.log", "wb")
    return subprocess.Popen(command, stdout=log, stderr=log, stdin=subprocess.DEVNULL)


def is_ready():
    try:
        return api.text("GET", "/readyz") == "ok"
    except (OSError, api.Refused):
        return False


class Kubectl:
    def __init__(self, programs, work):
        self.program, self.config = f"{programs}/kubectl", f"{work}/kubeconfig"

    def __call__(self, *arguments, text=None, refused=False):
        """What it prints; on stderr where it must be refused."""
        command = [self.program, f"--kubeconfig={self.config}", *arguments]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        if (done.returncode != 0) != refused:
            raise AssertionError(f"kubectl {' '.join(arguments)}: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stderr if refused else done.stdout

    def apply(self, text):
        return self("apply", "--server-side", "-f", "-", text=text)

    def kustomize(self, folder):
        return self("kustomize", folder)
