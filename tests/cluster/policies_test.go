// What the API server makes of Jobs under the MutatingAdmissionPolicies of deploy/: by its own code, without a cluster.
package cluster

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	celgo "github.com/google/cel-go/cel"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/managedfields"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"k8s.io/client-go/openapi/openapitest"
	"sigs.k8s.io/yaml"
)

const deploy = "../../deploy/"

var (
	jobKind     = schema.GroupVersionKind{Group: "batch", Version: "v1", Kind: "Job"}
	jobResource = schema.GroupVersionResource{Group: "batch", Version: "v1", Resource: "jobs"}
)

// condition and variable are expressions with a name, as the compiler takes them.
type condition struct{ expression string }

func (c condition) GetExpression() string      { return c.expression }
func (c condition) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.BoolType} }

type variable struct{ name, expression string }

func (v variable) GetExpression() string      { return v.expression }
func (v variable) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.AnyType, celgo.DynType} }
func (v variable) GetName() string            { return v.name }

// policy is a compiled one.
type policy struct {
	t          *testing.T
	spec       admissionregistration.MutatingAdmissionPolicySpec
	compiler   *cel.CompositedCompiler
	conditions cel.ConditionEvaluator
	patchers   []patch.Patcher
	types      managedfields.TypeConverter
}

// load reads the policy of a file, strictly, and compiles it.
func load(t *testing.T, file string) policy {
	text, err := os.ReadFile(deploy + file)
	if err != nil {
		t.Fatal(err)
	}
	var found *admissionregistration.MutatingAdmissionPolicy
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		var kind meta.TypeMeta
		if err := yaml.Unmarshal(document, &kind); err != nil {
			t.Fatal(err)
		}
		if kind.APIVersion != "admissionregistration.k8s.io/v1" {
			t.Fatalf("%s: %s is no version that is on by default", file, kind.APIVersion)
		}
		if kind.Kind == "MutatingAdmissionPolicy" {
			found = &admissionregistration.MutatingAdmissionPolicy{}
			if err := yaml.UnmarshalStrict(document, found); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found == nil {
		t.Fatalf("%s has no policy", file)
	}
	compiler, err := cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion()))
	if err != nil {
		t.Fatal(err)
	}
	p := policy{t: t, spec: found.Spec, compiler: compiler, types: jobTypes(t)}
	options := cel.OptionalVariableDeclarations{HasAuthorizer: true}
	for _, v := range found.Spec.Variables {
		result := compiler.CompileAndStoreVariable(variable{v.Name, v.Expression}, options, environment.StoredExpressions)
		if result.Error != nil {
			t.Fatalf("variable %s: %v", v.Name, result.Error)
		}
	}
	var conditions []cel.ExpressionAccessor
	for _, c := range found.Spec.MatchConditions {
		conditions = append(conditions, condition{c.Expression})
	}
	p.conditions = compiler.CompileCondition(conditions, options, environment.StoredExpressions)
	for _, err := range p.conditions.CompilationErrors() {
		t.Fatal(err)
	}
	options.HasPatchTypes = true
	for _, m := range found.Spec.Mutations {
		if m.PatchType != admissionregistration.PatchTypeApplyConfiguration {
			t.Fatalf("%s cannot be repeated", m.PatchType)
		}
		accessor := &patch.ApplyConfigurationCondition{Expression: m.ApplyConfiguration.Expression}
		evaluator := compiler.CompileMutatingEvaluator(accessor, options, environment.StoredExpressions)
		for _, err := range evaluator.CompilationErrors() {
			t.Fatal(err)
		}
		p.patchers = append(p.patchers, patch.NewApplyConfigurationPatcher(evaluator))
	}
	return p
}

// jobTypes knows which lists of a Job are merged, and by which key.
func jobTypes(t *testing.T) managedfields.TypeConverter {
	manager := patch.NewTypeConverterManager(nil, openapitest.NewEmbeddedFileClient())
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go manager.Run(ctx)
	for range 300 {
		if types := manager.GetTypeConverter(jobKind); types != nil {
			return types
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("there is no description of Jobs")
	return nil
}

// admit gives what a Job becomes; a copy of it where the policy does not match.
func (p policy) admit(operation admission.Operation, job map[string]any) map[string]any {
	p.t.Helper()
	object := &unstructured.Unstructured{Object: clone(p.t, job)}
	if !p.asks(operation) || !p.selects(object) {
		return object.Object
	}
	attributes := &admission.VersionedAttributes{
		Attributes: admission.NewAttributesRecord(object, nil, jobKind, object.GetNamespace(), object.GetName(), jobResource, "",
			operation, nil, false, nil),
		VersionedKind:   jobKind,
		VersionedObject: admission.NewLazyObject(object),
	}
	ctx := p.compiler.CreateContext(context.Background())
	request := cel.CreateAdmissionRequest(attributes.Attributes, meta.GroupVersionResource(jobResource), meta.GroupVersionKind(jobKind))
	results, _, err := p.conditions.ForInput(ctx, attributes, request, cel.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudget)
	if err != nil {
		p.t.Fatal(err)
	}
	for _, result := range results {
		if result.Error != nil {
			p.t.Fatal(result.Error)
		}
		if result.EvalResult.Value() != true {
			return object.Object
		}
	}
	for _, patcher := range p.patchers {
		patched, err := patcher.Patch(ctx, patch.Request{MatchedResource: jobResource, VersionedAttributes: attributes,
			TypeConverter: p.types}, celconfig.RuntimeCELCostBudget)
		if err != nil {
			p.t.Fatal(err)
		}
		attributes.UpdateObject(patched)
	}
	return clone(p.t, attributes.VersionedObject.Object().(*unstructured.Unstructured).Object)
}

func (p policy) asks(operation admission.Operation) bool {
	for _, rule := range p.spec.MatchConstraints.ResourceRules {
		for _, o := range rule.Operations {
			if string(o) == string(operation) {
				return true
			}
		}
	}
	return false
}

func (p policy) selects(object *unstructured.Unstructured) bool {
	selector, err := meta.LabelSelectorAsSelector(p.spec.MatchConstraints.ObjectSelector)
	if err != nil {
		p.t.Fatal(err)
	}
	return p.spec.MatchConstraints.ObjectSelector == nil || selector.Matches(labels.Set(object.GetLabels()))
}

// updated admits a Job as its operator writes it again: its own template over what is stored, which may not change thereby.
func (p policy) updated(stored, written map[string]any) {
	p.t.Helper()
	after := p.admit(admission.Update, written)
	if !reflect.DeepEqual(template(stored), template(after)) {
		p.t.Fatalf("field is immutable: the template of the Job would change from\n%s\nto\n%s", text(template(stored)), text(template(after)))
	}
}

func clone(t *testing.T, value map[string]any) map[string]any {
	var copied map[string]any
	if err := json.Unmarshal([]byte(text(value)), &copied); err != nil {
		t.Fatal(err)
	}
	return copied
}

func text(value any) string {
	bytes, err := json.MarshalIndent(value, "", " ")
	if err != nil {
		return fmt.Sprint(err)
	}
	return string(bytes)
}

func template(job map[string]any) any {
	return job["spec"].(map[string]any)["template"]
}

func pod(job map[string]any) map[string]any {
	return template(job).(map[string]any)["spec"].(map[string]any)
}

func container(job map[string]any) map[string]any {
	return pod(job)["containers"].([]any)[0].(map[string]any)
}

// job is one as VolSync's operator makes it.
func job(t *testing.T, direction string, volumes, mounts string) map[string]any {
	labels := `{"app.kubernetes.io/created-by": "volsync"}`
	return parse(t, `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "volsync-dst-web", "namespace": "apps", "labels": `+labels+`},
		"spec": {"backoffLimit": 8, "parallelism": 1, "template": {"metadata": {"labels": `+labels+`}, "spec": {
			"restartPolicy": "Never",
			"containers": [{"name": "kopia", "image": "quay.io/backube/volsync:0.17.11", "command": ["/mover-kopia/entry.sh"],
				"args": ["`+direction+`"], "env": [{"name": "DATA_DIR", "value": "/restore/data"}, {"name": "DATA_DIR", "value": "again"}],
				"volumeMounts": [{"name": "data", "mountPath": "/restore/data"}, {"name": "cache", "mountPath": "/cache"}`+mounts+`]}],
			"volumes": [{"name": "data", "persistentVolumeClaim": {"claimName": "web"}}, {"name": "cache", "emptyDir": {}}`+volumes+`]}}}}`)
}

func parse(t *testing.T, document string) map[string]any {
	var value map[string]any
	if err := json.Unmarshal([]byte(document), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

const volsync = "volsync/admission-policy/restore-image.yaml"

func TestRestoresGetTheImageAndTheRepositoryAndSurviveTheOperatorsUpdates(t *testing.T) {
	p := load(t, volsync)
	written := job(t, "restore", "", "")
	stored := p.admit(admission.Create, written)
	if image := container(stored)["image"]; !strings.Contains(image.(string), "/rokopia:") {
		t.Fatalf("image %s", image)
	}
	mounts, volumes := container(stored)["volumeMounts"].([]any), pod(stored)["volumes"].([]any)
	if len(mounts) != 3 || len(volumes) != 3 {
		t.Fatalf("%s\n%s", text(mounts), text(volumes))
	}
	wanted := map[string]any{"name": "repository", "mountPath": "/mnt/repository", "readOnly": true}
	if !reflect.DeepEqual(mounts[2], wanted) {
		t.Fatal(text(mounts[2]))
	}
	nfs := map[string]any{"server": "nas.example", "path": "/export/kopia", "readOnly": true}
	if !reflect.DeepEqual(volumes[2], map[string]any{"name": "repository", "nfs": nfs}) {
		t.Fatal(text(volumes[2]))
	}
	if len(container(stored)["env"].([]any)) != 2 {
		t.Fatal("the variables are not the operator's any more: ", text(container(stored)["env"]))
	}
	// The operator writes image, mounts and volumes of its own, whenever it looks at the Job; others write what is stored.
	p.updated(stored, written)
	p.updated(stored, stored)
	if again := p.admit(admission.Create, stored); !reflect.DeepEqual(again, stored) {
		t.Fatal("a second look at the same Job changes it: ", text(again))
	}
}

func TestAVolumeOfTheDestinationWins(t *testing.T) {
	p := load(t, volsync)
	written := job(t, "restore", `, {"name": "u-repository", "persistentVolumeClaim": {"claimName": "kopia"}}`,
		`, {"name": "u-repository", "mountPath": "/mnt/repository"}`)
	stored := p.admit(admission.Create, written)
	if !strings.Contains(container(stored)["image"].(string), "/rokopia:") {
		t.Fatal("not our image")
	}
	if !reflect.DeepEqual(container(stored)["volumeMounts"], container(written)["volumeMounts"]) ||
		!reflect.DeepEqual(pod(stored)["volumes"], pod(written)["volumes"]) {
		t.Fatal(text(pod(stored)))
	}
	p.updated(stored, written)
	p.updated(stored, stored)
}

func TestAJobWithoutAnyVolumeIsNotRefused(t *testing.T) {
	p := load(t, volsync)
	bare := job(t, "restore", "", "")
	delete(pod(bare), "volumes")
	delete(container(bare), "volumeMounts")
	stored := p.admit(admission.Create, bare)
	if len(pod(stored)["volumes"].([]any)) != 1 {
		t.Fatal(text(pod(stored)))
	}
	p.updated(stored, bare)
}

func TestNothingElseIsTouched(t *testing.T) {
	p := load(t, volsync)
	backup := job(t, "backup", "", "")
	stranger := job(t, "restore", "", "")
	delete(stranger["metadata"].(map[string]any), "labels")
	restic := job(t, "restore", "", "")
	container(restic)["name"] = "restic"
	silent := job(t, "restore", "", "")
	delete(container(silent), "args")
	for _, other := range []map[string]any{backup, stranger, restic, silent} {
		for _, operation := range []admission.Operation{admission.Create, admission.Update} {
			if after := p.admit(operation, other); !reflect.DeepEqual(after, other) {
				t.Fatal(text(after))
			}
		}
	}
}

func TestKopiursReadingJobsGetTheImageAndItsOthersDoNot(t *testing.T) {
	p := load(t, "kopiur/mover-image.yaml")
	of := func(labels string) map[string]any {
		return parse(t, `{"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "namespace": "apps", "labels": {
			"app.kubernetes.io/managed-by": "kopiur"`+labels+`}}, "spec": {"template": {"spec": {"restartPolicy": "Never",
			"containers": [{"name": "mover", "image": "ghcr.io/home-operations/kopiur-mover:0.4.3"}]}}}}`)
	}
	for _, labels := range []string{`, "kopiur.home-operations.com/op": "restore"`, `, "app.kubernetes.io/component": "verify"`,
		`, "kopiur.home-operations.com/session": "browse"`} {
		written := of(labels)
		stored := p.admit(admission.Create, written)
		if !strings.Contains(container(stored)["image"].(string), "/rokopia-kopiur-mover:") {
			t.Fatal(labels)
		}
		p.updated(stored, written)
		p.updated(stored, stored)
	}
	for _, labels := range []string{``, `, "kopiur.home-operations.com/op": "snapshot-delete"`, `, "app.kubernetes.io/component": "maintenance"`} {
		written := of(labels)
		if after := p.admit(admission.Create, written); !reflect.DeepEqual(after, written) {
			t.Fatal(labels)
		}
	}
	stranger := of(`, "kopiur.home-operations.com/op": "restore"`)
	delete(stranger["metadata"].(map[string]any)["labels"].(map[string]any), "app.kubernetes.io/managed-by")
	if after := p.admit(admission.Create, stranger); !reflect.DeepEqual(after, stranger) {
		t.Fatal("not kopiur's")
	}
}
