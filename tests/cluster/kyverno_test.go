// What Kyverno's policies for claims make of the service's answers: their expressions are CEL, here compiled and run by the API server's
// code. Kyverno itself, which asks over HTTP, is not here: the answer takes the place of its `http.Get`.
package cluster

import (
	"bytes"
	"context"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	celgo "github.com/google/cel-go/cel"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apiserver/pkg/admission"
	"k8s.io/apiserver/pkg/admission/plugin/cel"
	"k8s.io/apiserver/pkg/admission/plugin/policy/mutating/patch"
	celconfig "k8s.io/apiserver/pkg/apis/cel"
	"k8s.io/apiserver/pkg/cel/environment"
	"sigs.k8s.io/yaml"
)

var (
	claimKind     = schema.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"}
	claimResource = schema.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"}
	httpGet       = regexp.MustCompile(`(?s)^http\.Get\((.*)\)$`)
)

type kyvernoPolicy struct {
	t    *testing.T
	name string
	spec struct {
		FailurePolicy   string
		MatchConditions []admissionregistration.MatchCondition
		Variables       []admissionregistration.Variable
		Validations     []admissionregistration.Validation
		Mutations       []admissionregistration.Mutation
	}
	compiler *cel.CompositedCompiler
}

// kyverno gives the policies of a file, compiled; those that ask know `variables.url`, where they ask.
func kyverno(t *testing.T, file string) []kyvernoPolicy {
	text, err := os.ReadFile(deploy + file)
	if err != nil {
		t.Fatal(err)
	}
	var found []kyvernoPolicy
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		p := kyvernoPolicy{t: t}
		var read struct {
			Metadata meta.ObjectMeta
			Spec     any
		}
		if err := yaml.Unmarshal(document, &read); err != nil {
			t.Fatal(err)
		}
		spec, err := yaml.Marshal(read.Spec)
		if err == nil {
			err = yaml.Unmarshal(spec, &p.spec)
		}
		if err != nil || p.spec.FailurePolicy != "Fail" {
			t.Fatal(file, err, p.spec.FailurePolicy)
		}
		p.name = read.Metadata.Name
		if p.compiler, err = cel.NewCompositedCompiler(environment.MustBaseEnvSet(environment.DefaultCompatibilityVersion())); err != nil {
			t.Fatal(err)
		}
		for _, v := range p.spec.Variables {
			expression := strings.TrimSpace(v.Expression)
			if asked := httpGet.FindStringSubmatch(expression); asked != nil {
				p.store("url", asked[1])
				expression = "object.answer"
			}
			p.store(v.Name, expression)
		}
		found = append(found, p)
	}
	return found
}

func (p kyvernoPolicy) store(name, expression string) {
	result := p.compiler.CompileAndStoreVariable(variable{name, expression}, cel.OptionalVariableDeclarations{}, environment.StoredExpressions)
	if result.Error != nil {
		p.t.Fatalf("%s: variable %s: %v", p.name, name, result.Error)
	}
}

// words is an expression that gives text.
type words struct{ expression string }

func (w words) GetExpression() string      { return w.expression }
func (w words) ReturnTypes() []*celgo.Type { return []*celgo.Type{celgo.StringType, celgo.DynType} }

func (p kyvernoPolicy) attributes(claim map[string]any) *admission.VersionedAttributes {
	object := &unstructured.Unstructured{Object: clone(p.t, claim)}
	return &admission.VersionedAttributes{
		Attributes: admission.NewAttributesRecord(object, nil, claimKind, object.GetNamespace(), object.GetName(), claimResource, "",
			admission.Create, nil, false, nil),
		VersionedKind:   claimKind,
		VersionedObject: admission.NewLazyObject(object),
	}
}

// value is what an expression gives for a claim.
func (p kyvernoPolicy) value(claim map[string]any, accessor cel.ExpressionAccessor) any {
	p.t.Helper()
	evaluator := p.compiler.CompileCondition([]cel.ExpressionAccessor{accessor}, cel.OptionalVariableDeclarations{}, environment.StoredExpressions)
	for _, err := range evaluator.CompilationErrors() {
		p.t.Fatal(p.name, err)
	}
	attributes := p.attributes(claim)
	request := cel.CreateAdmissionRequest(attributes.Attributes, meta.GroupVersionResource(claimResource), meta.GroupVersionKind(claimKind))
	ctx := p.compiler.CreateContext(context.Background())
	results, _, err := evaluator.ForInput(ctx, attributes, request, cel.OptionalVariableBindings{}, nil, celconfig.RuntimeCELCostBudget)
	if err != nil || results[0].Error != nil {
		p.t.Fatal(p.name, err, results)
	}
	return results[0].EvalResult.Value()
}

func (p kyvernoPolicy) matches(claim map[string]any) bool {
	p.t.Helper()
	for _, c := range p.spec.MatchConditions {
		if p.value(claim, condition{c.Expression}) != true {
			return false
		}
	}
	return true
}

// denial is why a claim is denied by policies, "" where it is not.
func denial(policies []kyvernoPolicy, claim map[string]any) string {
	for _, p := range policies {
		if !p.matches(claim) {
			continue
		}
		for _, v := range p.spec.Validations {
			if p.value(claim, condition{v.Expression}) == true {
				continue
			}
			if v.MessageExpression == "" {
				return v.Message
			}
			return p.value(claim, words{v.MessageExpression}).(string)
		}
	}
	return ""
}

// mutate is what a claim becomes.
func (p kyvernoPolicy) mutate(claim map[string]any) map[string]any {
	p.t.Helper()
	if !p.matches(claim) {
		return claim
	}
	attributes := p.attributes(claim)
	options := cel.OptionalVariableDeclarations{HasPatchTypes: true}
	for _, m := range p.spec.Mutations {
		accessor := &patch.JSONPatchCondition{Expression: m.JSONPatch.Expression}
		patcher := patch.NewJSONPatcher(p.compiler.CompileMutatingEvaluator(accessor, options, environment.StoredExpressions))
		ctx := p.compiler.CreateContext(context.Background())
		patched, err := patcher.Patch(ctx, patch.Request{MatchedResource: claimResource, VersionedAttributes: attributes,
			ObjectInterfaces: admission.NewObjectInterfacesFromScheme(runtime.NewScheme())}, celconfig.RuntimeCELCostBudget)
		if err != nil {
			p.t.Fatal(p.name, err)
		}
		attributes.UpdateObject(patched)
	}
	return clone(p.t, attributes.VersionedObject.Object().(*unstructured.Unstructured).Object)
}

const (
	restore = `{"exists": true, "decision": "restore", "authoritative": true}`
	fresh   = `{"exists": false, "decision": "fresh", "authoritative": true}`
	unknown = `{"exists": false, "decision": "unknown", "authoritative": false, "error": "failed to list snapshots: Permission denied"}`
)

// asking is a claim with the answer that the service gives about it.
func asking(t *testing.T, metadata, spec, answer string) map[string]any {
	return parse(t, `{"apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": {"namespace": "media", "labels": {"backup": "daily"}, `+
		metadata+`}, "spec": {"accessModes": ["ReadWriteOnce"]`+spec+`}, "answer": `+answer+`}`)
}

func TestKyvernosPoliciesRestoreWhatHasABackupAndDenyWhatIsInDoubt(t *testing.T) {
	restoring := kyverno(t, "existence/kyverno/restore-claims.yaml")[0]
	doubting := kyverno(t, "existence/kyverno/deny-doubt.yaml")
	web, own := `"name": "web"`, `, "dataSourceRef": {"apiGroup": "volsync.backube", "kind": "ReplicationDestination", "name": "web-backup"}`
	const address = "http://pvc-plumber.volsync-system.svc.cluster.local/v1/decision/media/web"
	for _, p := range []kyvernoPolicy{restoring, doubting[0]} {
		if url := p.value(asking(t, web, "", fresh), words{"variables.url"}); url != address {
			t.Fatal(url)
		}
	}
	restored := restoring.mutate(asking(t, web, "", restore))
	if !reflect.DeepEqual(restored, asking(t, web, own, restore)) {
		t.Fatal(text(restored))
	}
	snapshot := `{"apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "s"}`
	for _, same := range []map[string]any{
		asking(t, web, "", fresh), asking(t, web, "", unknown), asking(t, web, "", `{}`), asking(t, web, own, restore),
		asking(t, web, `, "dataSource": `+snapshot, restore), asking(t, web, `, "dataSourceRef": `+snapshot, restore),
		asking(t, `"generateName": "web-"`, "", restore),
		asking(t, web+`, "annotations": {"volsync.backup/skip-restore": "true"}`, "", restore),
	} {
		if after := restoring.mutate(same); !reflect.DeepEqual(after, same) {
			t.Fatal(text(after))
		}
	}
	for _, c := range []struct {
		claim map[string]any
		words string
	}{
		{asking(t, web, "", fresh), ""},
		{asking(t, web, own, restore), ""},
		{asking(t, web, `, "dataSource": `+snapshot, fresh), ""},
		{asking(t, web, "", unknown), "media/web has a backup is not known: failed to list snapshots: Permission denied"},
		{asking(t, web, "", `{}`), "gave no reason"},
		{asking(t, web, "", `{"exists": false, "decision": "fresh", "authoritative": false}`), "not known"},
		{asking(t, web, "", `{"exists": false, "decision": "fresh", "authoritative": true, "error": "but"}`), "not known: but"},
		{asking(t, web, "", restore), "would not be restored from it"},
		{asking(t, web, `, "dataSource": `+snapshot, restore), "would not be restored from it"},
		{asking(t, web, strings.Replace(own, "web-backup", "api-backup", 1), restore), "would not be restored from it"},
		{asking(t, `"generateName": "web-"`, "", unknown), "metadata.name"},
		{asking(t, web+`, "annotations": {"volsync.backup/skip-restore": "true"}`, "", restore), "skip-restore-reason"},
		{asking(t, web+`, "annotations": {"volsync.backup/skip-restore": "true", "volsync.backup/skip-restore-reason": "new"}`, "", restore), ""},
		{asking(t, web+`, "annotations": {"other": "true"}`, "", restore), "would not be restored from it"},
	} {
		found := denial(doubting, c.claim)
		if (found == "") != (c.words == "") || !strings.Contains(found, c.words) {
			t.Fatalf("%q instead of %q for %s", found, c.words, text(c.claim))
		}
	}
}

// The policy for Jobs is the API server's own in another wrapping.
func TestKyvernosPolicyForJobsIsThatOfTheApiServer(t *testing.T) {
	own := load(t, volsync)
	same := kyverno(t, "volsync/kyverno/restore-image.yaml")[0]
	if !reflect.DeepEqual(same.spec.MatchConditions, own.spec.MatchConditions) || !reflect.DeepEqual(same.spec.Variables, own.spec.Variables) ||
		!reflect.DeepEqual(same.spec.Mutations, own.spec.Mutations) {
		t.Fatal("they differ")
	}
}
