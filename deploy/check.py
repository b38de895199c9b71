#!/usr/bin/env python3
"""Renders the kustomizations of deploy/ and the layers of its documentation, and checks them.

Kubernetes' own resources are checked against its schemas, custom resources against the schemas here, and all of them against what
once went wrong: the functions below whose names end in the reason. Needs kubectl, kubernetes-validate, jsonschema and PyYAML.
"""
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import jsonschema
import kubernetes_validate
import yaml

KUBERNETES = "1.37"
DEPLOY = pathlib.Path(__file__).resolve().parent
REPOSITORY_MOUNT = "/mnt/repository"
# Whom pvc-plumber's and most movers' NAS exports belong to.
KOPIA_USER = 568
LAYERS = ["docs/existence.md", "deploy/volsync/README.md", "deploy/kopiur/README.md", "deploy/verify/README.md"]
# Manifests that no kustomization includes.
ALONE = ["existence/secret.yaml", "verify/secret.yaml", "verify/parts/merge-job.yaml"]


def render(folder):
    text = subprocess.run(["kubectl", "kustomize", folder], check=True, capture_output=True, text=True).stdout
    return [manifest for manifest in yaml.safe_load_all(text) if manifest]


def kustomizations():
    """All but components, which only layers can render."""
    found = [path for path in sorted(DEPLOY.rglob("kustomization.yaml")) if "kind: Component" not in path.read_text()]
    return {str(path.parent.relative_to(DEPLOY)): render(path.parent) for path in found}


def layers():
    """The blocks with resources in the documents, as their readers would use them."""
    for document in LAYERS:
        text = (DEPLOY.parent / document).read_text()
        blocks = re.findall(r"```yaml\n(.*?)```", text, re.S)
        for number, block in enumerate(block for block in blocks if "resources:" in block):
            with tempfile.TemporaryDirectory() as work:
                layer = pathlib.Path(work) / "layer"
                layer.mkdir()
                (pathlib.Path(work) / "rokopia").mkdir()
                subprocess.run(["cp", "-r", DEPLOY, pathlib.Path(work) / "rokopia/deploy"], check=True)
                (layer / "kustomization.yaml").write_text(block)
                (layer / "password.env").write_text("KOPIA_PASSWORD=secret\n")
                yield f"layer {number + 1} of {document}", render(layer)


def pod_specs(manifest):
    """Pod templates anywhere in a manifest."""
    if isinstance(manifest, dict):
        if "containers" in manifest and "kind" not in manifest:
            yield manifest
        for value in manifest.values():
            yield from pod_specs(value)
    elif isinstance(manifest, list):
        for value in manifest:
            yield from pod_specs(value)


def text_of(manifest):
    return json.dumps(manifest)


def of_kind(manifests, *kinds):
    return [manifest for manifest in manifests if manifest["kind"] in kinds]


def policies(manifests):
    return of_kind(manifests, "ClusterPolicy", "MutatingPolicy", "ValidatingPolicy", "MutatingAdmissionPolicy")


def image_policies(manifests):
    return [policy for policy in policies(manifests) if re.search(r"/rokopia[\w-]*:", text_of(policy))]


# --- What once went wrong ---------------------------------------------------------------------------------------------------------


def policies_for_jobs_match_updates_since_the_operator_writes_its_job_anew(manifests):
    for policy in image_policies(manifests):
        if policy["kind"] == "ClusterPolicy":
            operations = [set(r["resources"]["operations"]) for rule in policy["spec"]["rules"] for r in rule["match"]["any"]]
        else:
            operations = [set(rule["operations"]) for rule in policy["spec"]["matchConstraints"]["resourceRules"]]
        yield all(found == {"CREATE", "UPDATE"} for found in operations), operations
        # Appending would add the volume again with each update.
        yield '/-"' not in text_of(policy) and "JSONPatch" not in text_of(policy) and "patchesJson6902" not in text_of(policy), policy


def admission_policies_use_the_version_that_is_on_by_default(manifests):
    for manifest in of_kind(manifests, "MutatingAdmissionPolicy", "MutatingAdmissionPolicyBinding"):
        yield manifest["apiVersion"] == "admissionregistration.k8s.io/v1", manifest["apiVersion"]


def the_repository_is_at_one_place_in_secrets_examples_and_policies(manifests):
    for secret in of_kind(manifests, "Secret"):
        url = secret.get("stringData", {}).get("KOPIA_REPOSITORY")
        if url is not None:
            yield url == f"filesystem://{REPOSITORY_MOUNT}", url
    for destination in of_kind(manifests, "ReplicationDestination"):
        mounts = [f"/mnt/{volume['mountPath']}" for volume in destination["spec"]["kopia"].get("moverVolumes", [])]
        yield mounts == [REPOSITORY_MOUNT], mounts
    for policy in image_policies(manifests):
        text = text_of(policy)
        if "volsync" not in text:
            continue
        yield REPOSITORY_MOUNT in text and '"/repository"' not in text, policy["metadata"]["name"]


def examples_have_the_secret_they_name(manifests):
    secrets = {secret["metadata"]["name"] for secret in of_kind(manifests, "Secret")}
    for destination in of_kind(manifests, "ReplicationDestination"):
        yield destination["spec"]["kopia"]["repository"] in secrets, destination["metadata"]["name"]
        yield "moverSecurityContext" in destination["spec"]["kopia"], destination["metadata"]["name"]


def pods_run_as_the_user_whose_files_they_read(manifests):
    for manifest in of_kind(manifests, "Deployment", "CronJob", "Job"):
        for spec in pod_specs(manifest):
            context = spec.get("securityContext", {})
            yield context.get("runAsUser") == KOPIA_USER and context.get("runAsGroup") == KOPIA_USER, manifest["metadata"]["name"]
            for container in spec["containers"]:
                own = container["securityContext"]
                yield own["readOnlyRootFilesystem"] and own["capabilities"] == {"drop": ["ALL"]}, container["name"]
                yield not own["allowPrivilegeEscalation"], container["name"]


def an_outage_of_the_storage_does_not_take_the_service_away(manifests):
    for deployment in of_kind(manifests, "Deployment"):
        if deployment["metadata"]["name"] == "rokopia-exists":
            probe = deployment["spec"]["template"]["spec"]["containers"][0]["readinessProbe"]
            yield probe["httpGet"]["path"] == "/v1/ready", probe


def rollouts_need_no_more_nodes_than_there_are(manifests):
    for deployment in of_kind(manifests, "Deployment"):
        spec = deployment["spec"]["template"]["spec"]
        required = "requiredDuringSchedulingIgnoredDuringExecution"
        yield required not in text_of(spec.get("affinity", {})), spec.get("affinity")
        for constraint in spec.get("topologySpreadConstraints", []):
            yield constraint["whenUnsatisfiable"] == "ScheduleAnyway", constraint


def policies_for_claims_hear_the_reason_and_leave_other_sources_alone(manifests):
    for policy in policies(manifests):
        text = text_of(policy)
        if "pvc-plumber" not in text:
            continue
        yield "/v1/decision/" in text and "/exists/" not in text, policy["metadata"]["name"]
        yield policy["spec"]["failurePolicy"] == "Fail", policy["metadata"]["name"]
        if "restore-claims" in policy["metadata"]["name"]:
            yield re.search(r"spec\.dataSource\b", text) is not None, "dataSource"
        # A claim with generateName has no name when policies see it.
        bare = re.findall(r"\{\{ request\.object\.metadata\.name \}\}", text) if "deny" in policy["metadata"]["name"] else []
        yield not bare, bare


def resources_of_the_cluster_have_no_namespace(manifests):
    for policy in policies(manifests):
        yield "namespace" not in policy["metadata"], policy["metadata"]["name"]


def custom_resources_are_in_folders_that_say_so(folder, manifests):
    needs = ("kyverno", "monitoring", "examples", "layer")
    if not any(word in folder for word in needs):
        for manifest in manifests:
            yield "kyverno" not in manifest["apiVersion"] and "coreos" not in manifest["apiVersion"], manifest["kind"]


def webhooks_fail_closed_and_have_the_time_that_an_answer_takes(manifests):
    for configuration in of_kind(manifests, "MutatingWebhookConfiguration", "ValidatingWebhookConfiguration"):
        for webhook in configuration["webhooks"]:
            yield webhook["failurePolicy"] == "Fail" and webhook["sideEffects"] == "None", webhook["name"]
            # The service says that it does not know after three seconds.
            yield webhook["timeoutSeconds"] == 10, webhook["timeoutSeconds"]


def secrets_that_pods_name_are_examples_beside_them():
    for folder in ("existence", "verify"):
        secret = yaml.safe_load((DEPLOY / folder / "secret.yaml").read_text())
        names = set()
        for path in (DEPLOY / folder).rglob("*.yaml"):
            names |= set(re.findall(r"secretKeyRef:\s*\n?\s*(?:#.*\n\s*)?\{?\s*name: ([\w-]+)", path.read_text()))
        yield names == {secret["metadata"]["name"]}, names


def there_is_one_version_everywhere():
    version = re.search(r'^version = "(.*)"', (DEPLOY.parent / "Cargo.toml").read_text(), re.M)[1]
    for path in [*DEPLOY.rglob("*"), *(DEPLOY.parent / document for document in LAYERS), DEPLOY.parent / "Dockerfile"]:
        if path.is_file() and path != pathlib.Path(__file__).resolve():
            text = path.read_text()
            tags = re.findall(r"rokopia[\w-]*:([\w.]+)", text) + re.findall(r'newTag: "?([\w.]+)', text)
            tags += re.findall(r"ARG VERSION=(\S+)", text) + re.findall(r'^(?:appVersion|version): "?([\w.]+)', text, re.M)
            yield set(tags) <= {version}, f"{path.name}: {tags}"


def the_nas_runs_as_the_same_user_without_privileges():
    services = yaml.safe_load((DEPLOY / "nas/compose.yaml").read_text())["services"]
    for name, service in services.items():
        yield service["user"] == f"{KOPIA_USER}:{KOPIA_USER}" and service["read_only"] and service["cap_drop"] == ["ALL"], name
        yield any(volume.endswith(":/repository:ro") for volume in service["volumes"]), name


def the_image_has_no_user_since_the_operator_sets_none():
    yield not re.search(r"^USER", (DEPLOY.parent / "Dockerfile").read_text(), re.M), "Dockerfile"


OF_MANIFESTS = [
    policies_for_jobs_match_updates_since_the_operator_writes_its_job_anew,
    admission_policies_use_the_version_that_is_on_by_default,
    the_repository_is_at_one_place_in_secrets_examples_and_policies,
    pods_run_as_the_user_whose_files_they_read,
    an_outage_of_the_storage_does_not_take_the_service_away,
    rollouts_need_no_more_nodes_than_there_are,
    policies_for_claims_hear_the_reason_and_leave_other_sources_alone,
    resources_of_the_cluster_have_no_namespace,
    webhooks_fail_closed_and_have_the_time_that_an_answer_takes,
]
OF_THE_FOLDER = [
    secrets_that_pods_name_are_examples_beside_them,
    there_is_one_version_everywhere,
    the_nas_runs_as_the_same_user_without_privileges,
    the_image_has_no_user_since_the_operator_sets_none,
]


class Findings:
    def __init__(self):
        self.right, self.wrong = 0, 0

    def note(self, fine, where, what):
        if fine:
            self.right += 1
        else:
            self.wrong += 1
            print(f"wrong: {where}: {what}", file=sys.stderr)

    def all(self, where, check, *arguments):
        for fine, seen in check(*arguments):
            self.note(fine, where, f"{check.__name__}: {seen}")


def schema_of(findings, custom, where, manifest):
    name = f"{manifest['apiVersion']}/{manifest['kind']}"
    try:
        if name in custom["properties"]:
            jsonschema.validate({name: manifest}, custom)
        else:
            kubernetes_validate.validate(manifest, KUBERNETES, strict=True)
        findings.note(True, where, name)
    except (jsonschema.ValidationError, kubernetes_validate.ValidationError) as error:
        findings.note(False, where, f"{name} {manifest['metadata']['name']}: {error}")


def main():
    custom = json.loads((DEPLOY / "schemas.json").read_text())
    findings = Findings()
    rendered = kustomizations()
    rendered |= dict(layers())
    rendered |= {name: [m for m in yaml.safe_load_all((DEPLOY / name).read_text()) if m] for name in ALONE}
    for where, manifests in rendered.items():
        findings.note(bool(manifests), where, "renders nothing")
        for manifest in manifests:
            schema_of(findings, custom, where, manifest)
        for check in OF_MANIFESTS:
            findings.all(where, check, manifests)
        findings.all(where, custom_resources_are_in_folders_that_say_so, where, manifests)
    findings.all("volsync/examples", examples_have_the_secret_they_name, rendered["volsync/examples"])
    for check in OF_THE_FOLDER:
        findings.all("deploy", check)
    included = {path for path in DEPLOY.rglob("kustomization.yaml")}
    listed = {(path.parent / r).resolve() for path in included for r in yaml.safe_load(path.read_text()).get("resources", [])}
    for path in DEPLOY.rglob("*.yaml"):
        known = path in listed | included or str(path.relative_to(DEPLOY)) in ALONE
        other = path.name in ("values.yaml", "rules.test.yaml", "compose.yaml") or "chart" in path.parts
        findings.note(known or other, "deploy", f"{path.name} is in no kustomization")
    print(f"deploy/: {len(rendered)} renderings, {findings.right} checks passed, {findings.wrong} failed")
    return 1 if findings.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
