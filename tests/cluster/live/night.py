"""The night of a rebuild, and the same restores by the stock mover and its kopia."""
import os
import shutil
import signal
import threading
import time

import api
import operator_stand_in as operator
from admission import webhook_of
from cluster import CLAIMS, NAMESPACES, NotChecked, admitted, claim, claims, destination, put_programs, restored, scenario
from node import Image

MEMORY = 256 << 20
# What the script of VolSync's mover starts, beside kopia.
TOOLS = ["bash", "awk", "base64", "basename", "cat", "chmod", "cp", "cut", "date", "df", "dirname", "du", "env", "expr", "find", "grep", "head", "hostname", "id", "jq", "ls",
         "mkdir", "mktemp", "mv", "realpath", "rm", "sed", "sleep", "sort", "stat", "sync", "tail", "timeout", "touch", "tr", "wc"]


@scenario
def the_night_of_a_rebuild(cluster):
    """24 claims in 18 namespaces at the same time; meanwhile the storage goes away, the webhook is restarted, and a pod is killed."""
    webhook = webhook_of(cluster)
    began, bound, errors = time.time(), [], []

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
    killed = api.until("a mover is at work, and killed", lambda: kill_a_mover(cluster, "night-"), 60)
    for thread in threads:
        thread.join()
    assert not errors, "\n".join(errors)
    assert len(bound) == CLAIMS
    memory = most_memory(cluster, "night-")
    lines = [f"{CLAIMS} claims in {NAMESPACES} namespaces; storage away for 5 s, webhook restarted, {killed} killed",
             f"first bound after {min(bound):.1f} s, last after {max(bound):.1f} s", *of_each(memory)]
    report(cluster, "The night of a rebuild", lines)
    return (f"{CLAIMS} claims in {NAMESPACES} namespaces are restored and bound, none fresh, {killed} killed; the first after {min(bound):.0f} s, "
            f"the last after {max(bound):.0f} s; at most {max(memory.values()) >> 20} MiB each")


def movers(cluster, prefix):
    """The containers of movers in namespaces with this prefix."""
    return [container for container in cluster.node.started if container.name.startswith(prefix)]


def kill_a_mover(cluster, prefix):
    """Kills a mover that is at work; its name."""
    for container in movers(cluster, prefix):
        if container.process.returncode is None and container.first() is not None:
            container.kill(signal.SIGKILL)
            return container.name
    return None


def most_memory(cluster, prefix):
    """The most memory of each mover that has ended, in bytes."""
    memory = {container.name: container.memory for container in movers(cluster, prefix) if container.memory}
    over = {name: used >> 20 for name, used in memory.items() if used > MEMORY}
    assert memory and not over, f"movers with more than {MEMORY >> 20} MiB: {over}"
    return memory


def of_each(memory):
    return [f"{name}: {used >> 20} MiB" for name, used in sorted(memory.items())]


def report(cluster, title, lines):
    """Adds to the report, which stays with the logs."""
    with open(f"{cluster.work}/report.md", "a") as file:
        file.write(f"## {title}\n\n" + "".join(f"- {line}\n" for line in lines) + "\n")


class Race:
    """All sources are restored at the same time with one image, from the moment on in which all movers are there."""

    def __init__(self, cluster, prefix, image, repository):
        self.cluster, self.prefix, self.image, self.errors = cluster, prefix, image, []
        export = {"nfs": {"server": "nas.example", "path": repository}}
        for number in range(CLAIMS):
            cluster.namespace(self.namespace(number))
            destination(cluster, self.namespace(number), f"volume-{number:05}", f"volume-{number:05}", f"night-{number % NAMESPACES:02}",
                        moverVolumes=[{"mountPath": "repository", "volumeSource": export}])
        cluster.node.gate = f"{cluster.work}/gate-{prefix}"
        threads = [threading.Thread(target=self.restore, args=(number,)) for number in range(CLAIMS)]
        for thread in threads:
            thread.start()
        api.until("all movers are there", lambda: len(movers(cluster, f"{prefix}-")) == CLAIMS)
        contained = movers(cluster, f"{prefix}-")
        began = time.time()
        open(cluster.node.gate, "w").close()
        while any([container.poll() is None for container in contained]):
            time.sleep(0.05)
        for thread in threads:
            thread.join()
        cluster.node.gate = None
        assert not self.errors, "\n".join(self.errors[:3])
        self.seconds = sorted(container.ended - began for container in contained)
        self.processor = sum(container.processor for container in contained)

    def namespace(self, number):
        return f"{self.prefix}-{number % NAMESPACES:02}"

    def restore(self, number):
        namespace, name = self.namespace(number), f"volume-{number:05}"
        try:
            outcome = operator.reconcile(namespace, name, 600, image=self.image)
            assert outcome.result == "Successful", vars(outcome)
            assert restored(self.cluster, namespace, name) == ["data.bin"], restored(self.cluster, namespace, name)
        except Exception as problem:  # noqa: BLE001 — told with the others
            self.errors.append(f"{namespace}/{name}: {problem!r}")

    def __str__(self):
        return f"first after {self.seconds[0]:.1f} s, last after {self.seconds[-1]:.1f} s, {self.processor:.1f} s of processors"


@scenario
def the_same_restores_with_kopia(cluster):
    """ROKOPIA_LIVE_KOPIA names a kopia, and ROKOPIA_LIVE_VOLSYNC a folder with the script of VolSync's mover, mover-kopia/entry.sh."""
    kopia, folder = os.environ.get("ROKOPIA_LIVE_KOPIA"), os.environ.get("ROKOPIA_LIVE_VOLSYNC", "")
    script = f"{folder}/mover-kopia/entry.sh"
    if not kopia or not os.path.exists(script):
        raise NotChecked("ROKOPIA_LIVE_KOPIA and ROKOPIA_LIVE_VOLSYNC name no kopia and no script of its mover")
    root = f"{cluster.work}/stock-image"
    put_programs(root, {"kopia": kopia, **{tool: shutil.which(tool) for tool in TOOLS}})
    os.makedirs(f"{root}/mover-kopia")
    shutil.copy(script, f"{root}/mover-kopia/entry.sh")
    os.makedirs(f"{root}/bin", exist_ok=True)
    os.symlink("/usr/local/bin/bash", f"{root}/bin/bash")
    os.symlink("/proc/self/fd", f"{root}/dev/fd")
    cluster.node.images.append(Image("backube/volsync", root, "/mover-kopia/entry.sh"))
    # Here each image is asked for by name.
    api.delete("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicybindings/volsync-restore-with-rokopia")
    time.sleep(3)
    blobs = int(os.environ.get("ROKOPIA_LIVE_INDEX_BLOBS", "500"))
    cluster.make_fleet(f"{cluster.work}/exports/nas.example/race", snapshots=20 * CLAIMS, index_blobs=blobs)
    ours = Race(cluster, "ours", "registry.example/rokopia:0.1.0", "/race")
    theirs = Race(cluster, "stock", operator.STOCK_IMAGE, "/race")
    memory = most_memory(cluster, "ours-")
    last, processor = theirs.seconds[-1] / ours.seconds[-1], theirs.processor / ours.processor
    lines = [f"{CLAIMS} restores at once from a directory with {blobs} index blobs, {os.cpu_count()} processors", f"rokopia: {ours}",
             f"kopia: {theirs}", f"kopia takes {last:.1f} times as long to the last, and {processor:.1f} times the processors", *of_each(memory)]
    report(cluster, "The same restores with kopia", lines)
    return f"{CLAIMS} restores at once, {ours}; with kopia, {theirs}: {last:.1f} times as long to the last"
