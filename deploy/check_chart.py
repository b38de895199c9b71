#!/usr/bin/env python3
"""Renders deploy/chart with Helm's own engine and checks what comes out as check.py does, and that it is what kustomize makes.

With the name of a folder it writes the renderings there, for a cluster to take. The engine is in the package helm-python-sdk: a library around Helm's Go packages.
"""
import functools
import itertools
import json
import sys

import helm_python
import yaml

import check

CHART = check.DEPLOY / "chart"
NAMESPACE = "volsync-system"
REPOSITORY = {"nfs": {"server": "nas.example", "path": "/export/kopia"}}
VERIFYING = {"enabled": True, "exporter": {"enabled": True}}
EVERYTHING = {"repository": REPOSITORY, "admission": {"enabled": True}, "restore": {"enabled": True}, "verify": VERIFYING,
              "monitoring": {"enabled": True}}


@functools.cache
def loaded():
    return helm_python.Chart.load(CHART)


def render(values):
    # `helm template` does the same before it renders.
    loaded().validate_schema(values)
    texts = loaded().render(values, name="rokopia", namespace=NAMESPACE)
    manifests = []
    for name, text in texts.items():
        if name.endswith(".yaml"):
            manifests += [manifest for manifest in yaml.safe_load_all(text) if manifest]
    return manifests


def refused(values):
    try:
        render(values)
    except helm_python.HelmError:
        return True
    return False


def options():
    """Every combination of the parts, and what else can be chosen."""
    parts = ["existence", "admission", "restore", "verify", "monitoring"]
    for chosen in itertools.product([False, True], repeat=len(parts)):
        values = {"repository": REPOSITORY} | {part: {"enabled": on} for part, on in zip(parts, chosen)}
        if values["admission"]["enabled"] and not values["existence"]["enabled"]:
            continue
        yield ", ".join(part for part, on in zip(parts, chosen) if on) or "nothing", values
    yield "a claim with the repository", EVERYTHING | {"repository": {"claim": "kopia"}}
    yield "a certificate from elsewhere", EVERYTHING | {"admission": {"enabled": True, "certManager": False, "caBundle": "Q0E="}}
    yield "pages to browse", EVERYTHING | {"browse": {"enabled": True}}
    yield "pages behind a proxy", {"repository": REPOSITORY, "browse": {
        "enabled": True, "userHeader": "X-Forwarded-User", "proxies": ["10.42.0.0/16", "fd00::/8"]}}
    yield "one replica", EVERYTHING | {"existence": {"replicas": 1, "sourceTemplate": "{pvc}@{namespace}:/data"}}
    yield "no limits on who asks", EVERYTHING | {"existence": {"networkPolicy": {"enabled": False}, "podDisruptionBudget": False}}
    yield "verification without exporter", EVERYTHING | {"verify": {"enabled": True, "storage": {"accessMode": "ReadWriteOnce",
                                                                                                "className": "fast"}}}
    yield "labels of the Prometheus that looks", EVERYTHING | {"monitoring": {"enabled": True, "labels": {"release": "p"}}}


WRONG = {
    "no repository": {},
    "two repositories": {"repository": REPOSITORY | {"claim": "kopia"}},
    "an export without a path": {"repository": {"nfs": {"server": "nas"}}},
    "root": {"repository": REPOSITORY | {"user": 0}},
    "a word that is no option": {"repository": REPOSITORY, "existance": {"enabled": True}},
    "pages without the service": {"repository": REPOSITORY, "existence": {"enabled": False}, "browse": {"enabled": True}},
    "a header that anybody may send": {"repository": REPOSITORY, "browse": {"enabled": True, "userHeader": "X-Forwarded-User"}},
    "a webhook without the service": {"repository": REPOSITORY, "existence": {"enabled": False}, "admission": {"enabled": True}},
    "a webhook that nobody trusts": {"repository": REPOSITORY, "admission": {"enabled": True, "certManager": False}},
    "one object for all claims": {"repository": REPOSITORY, "admission": {"restoreFrom": "volsync.backube/ReplicationDestination/one"}},
    "an exporter beside a claim of one node": {"repository": REPOSITORY, "verify": VERIFYING | {"storage": {"accessMode": "ReadWriteOnce"}}},
    "a size without a unit": {"repository": REPOSITORY, "verify": {"budget": "200"}},
}


def what_counts(manifest):
    """A manifest without what Helm and kustomize add, or name differently."""
    manifest = json.loads(json.dumps(manifest))
    manifest["metadata"] = {"name": manifest["metadata"]["name"], "annotations": manifest["metadata"].get("annotations", {})}
    manifest["metadata"]["annotations"].pop("helm.sh/resource-policy", None)
    text = json.dumps(manifest, sort_keys=True).replace(', "imagePullPolicy": "IfNotPresent"', "")
    text = text.replace('"pvc-plumber-kopia"', '"kopia-repository"')
    manifest = json.loads(text)
    for spec in check.pod_specs(manifest):
        for container in spec["containers"]:
            container["env"] = [entry for entry in container.get("env", []) if entry["name"] != "ROKOPIA_RESTORE_FROM"]
    return manifest


def same_as_kustomize(findings):
    layers = dict(check.layers())
    webhook = next(manifests for manifests in layers.values() if check.of_kind(manifests, "ValidatingWebhookConfiguration"))
    others = ["volsync", "verify", "verify/monitoring", "existence/monitoring"]
    kustomize = webhook + [manifest for folder in others for manifest in check.render(check.DEPLOY / folder)]
    chart = {(m["kind"], m["metadata"]["name"]): what_counts(m) for m in render(EVERYTHING)}
    wanted = {(m["kind"], m["metadata"]["name"]): what_counts(m) for m in kustomize}
    findings.note(chart.keys() == wanted.keys(), "chart", f"only one has {chart.keys() ^ wanted.keys()}")
    for key in chart.keys() & wanted.keys():
        findings.note(chart[key] == wanted[key], "chart", f"{key} differs:\n{json.dumps(chart[key])}\n{json.dumps(wanted[key])}")


def write(folder):
    """Writes each rendering to a file of the folder, and what it is of to its first line."""
    for number, (where, values) in enumerate(options()):
        with open(f"{folder}/{number:03}.yaml", "w") as file:
            file.write(f"# {where}\n")
            yaml.safe_dump_all(render(values), file)


def main():
    if len(sys.argv) == 2:
        write(sys.argv[1])
        return 0
    custom = json.loads((check.DEPLOY / "schemas.json").read_text())
    findings, renderings = check.Findings(), 0
    report = helm_python.lint(CHART, EVERYTHING, strict=True, namespace=NAMESPACE)
    findings.note(not report["errors"], "helm lint", report)
    for where, values in options():
        manifests = render(values)
        renderings += 1
        for manifest in manifests:
            check.schema_of(findings, custom, f"chart with {where}", manifest)
        for rule in check.OF_MANIFESTS:
            findings.all(f"chart with {where}", rule, manifests)
    for what, values in WRONG.items():
        findings.note(refused(values), "chart", f"takes {what}")
    same_as_kustomize(findings)
    print(f"deploy/chart: {renderings} renderings, {findings.right} checks passed, {findings.wrong} failed")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
