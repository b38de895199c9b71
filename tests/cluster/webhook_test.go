// The webhook of `rokopia serve --admission`, asked with the types, the TLS and the patches of the API server.
package cluster

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"testing"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	admissionregistration "k8s.io/api/admissionregistration/v1"
	core "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/yaml"
)

const (
	testdata    = "../../testdata/"
	serviceName = "rokopia-admission.volsync-system.svc"
)

type webhook struct {
	t       *testing.T
	address string
	client  *http.Client
}

// serve starts the program that $ROKOPIA names on a repository.
func serve(t *testing.T, repository string) webhook {
	program := os.Getenv("ROKOPIA")
	if program == "" {
		t.Skip("NOT CHECKED: ROKOPIA names no program")
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, program, "serve", "--admission")
	command.Env = []string{
		"KOPIA_REPOSITORY_PATH=" + repository, "KOPIA_PASSWORD=rokopia", "ROKOPIA_SOURCE_TEMPLATE={pvc}@{namespace}:/data",
		"ROKOPIA_LISTEN=127.0.0.1:0", "ROKOPIA_ADMISSION_LISTEN=127.0.0.1:0",
		"ROKOPIA_TLS_CERT=" + testdata + "tls/first.crt", "ROKOPIA_TLS_KEY=" + testdata + "tls/first.key",
	}
	log, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cancel(); command.Wait() })
	lines := bufio.NewScanner(log)
	for lines.Scan() {
		var line struct{ Msg, Address string }
		json.Unmarshal(lines.Bytes(), &line)
		if line.Msg == "listening for admission" {
			go io.Copy(io.Discard, log)
			return webhook{t: t, address: line.Address, client: trusting(t, "first")}
		}
	}
	t.Fatal("it does not listen")
	panic("unreachable")
}

// trusting is a client as the API server makes it of a caBundle.
func trusting(t *testing.T, name string) *http.Client {
	bundle, err := os.ReadFile(testdata + "tls/" + name + ".crt")
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	config := &tls.Config{RootCAs: pool, ServerName: serviceName}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: true}}
}

// claim is one without a source of its data.
func claim(namespace, name string) *core.PersistentVolumeClaim {
	return &core.PersistentVolumeClaim{
		TypeMeta:   meta.TypeMeta{APIVersion: "v1", Kind: "PersistentVolumeClaim"},
		ObjectMeta: meta.ObjectMeta{Namespace: namespace, Name: name, Labels: map[string]string{"backup": "daily"}},
		Spec: core.PersistentVolumeClaimSpec{
			AccessModes: []core.PersistentVolumeAccessMode{core.ReadWriteOnce},
			Resources: core.VolumeResourceRequirements{
				Requests: core.ResourceList{core.ResourceStorage: resource.MustParse("1Gi")},
			},
		},
	}
}

// ask sends the review of a creation, and gives the response, which must be one that the API server takes.
func (w webhook) ask(path string, object *core.PersistentVolumeClaim) *admissionv1.AdmissionResponse {
	w.t.Helper()
	review := admissionv1.AdmissionReview{
		TypeMeta: meta.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID:       types.UID("705ab4f5-6393-11e8-b7cc-42010a800002"),
			Kind:      meta.GroupVersionKind{Version: "v1", Kind: "PersistentVolumeClaim"},
			Resource:  meta.GroupVersionResource{Version: "v1", Resource: "persistentvolumeclaims"},
			Name:      object.Name,
			Namespace: object.Namespace,
			Operation: admissionv1.Create,
			Object:    runtime.RawExtension{Object: object},
		},
	}
	body, err := json.Marshal(review)
	if err != nil {
		w.t.Fatal(err)
	}
	response, err := w.client.Post("https://"+w.address+path, "application/json", bytes.NewReader(body))
	if err != nil {
		w.t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		w.t.Fatal(response.Status, string(text), err)
	}
	var answer admissionv1.AdmissionReview
	if err := yaml.UnmarshalStrict(text, &answer); err != nil {
		w.t.Fatal(err, string(text))
	}
	if answer.APIVersion != review.APIVersion || answer.Kind != review.Kind || answer.Response == nil || answer.Response.UID != review.Request.UID {
		w.t.Fatal(string(text))
	}
	if (len(answer.Response.Patch) > 0) != (answer.Response.PatchType != nil) {
		w.t.Fatal("a patch without a type, or the reverse: ", string(text))
	}
	return answer.Response
}

// mutated is what a claim becomes.
func (w webhook) mutated(object *core.PersistentVolumeClaim) *core.PersistentVolumeClaim {
	w.t.Helper()
	response := w.ask("/mutate", object)
	if !response.Allowed {
		w.t.Fatal(response.Result)
	}
	if response.PatchType == nil {
		return object
	}
	patch, err := jsonpatch.DecodePatch(response.Patch)
	if err != nil {
		w.t.Fatal(err)
	}
	before, err := json.Marshal(object)
	if err != nil {
		w.t.Fatal(err)
	}
	after, err := patch.Apply(before)
	if err != nil {
		w.t.Fatal(err)
	}
	var claim core.PersistentVolumeClaim
	if err := yaml.UnmarshalStrict(after, &claim); err != nil {
		w.t.Fatal(err)
	}
	return &claim
}

func TestAClaimWithABackupIsRestoredFromItAndPassesTheSecondQuestion(t *testing.T) {
	w := serve(t, testdata+"basic/repo")
	restored := w.mutated(claim("apps", "data-demo"))
	source := restored.Spec.DataSourceRef
	if source == nil || *source.APIGroup != "volsync.backube" || source.Kind != "ReplicationDestination" || source.Name != "data-demo-backup" {
		t.Fatal(source)
	}
	if response := w.ask("/validate", restored); !response.Allowed {
		t.Fatal(response.Result)
	}
	response := w.ask("/validate", claim("apps", "data-demo"))
	if response.Allowed || response.Result.Code != http.StatusForbidden || response.Result.Reason != meta.StatusReasonForbidden {
		t.Fatal(response)
	}
	fresh := claim("apps", "another")
	if w.mutated(fresh) != fresh || !w.ask("/validate", fresh).Allowed {
		t.Fatal("a claim without a backup is not created as it is")
	}
}

func TestAClaimWaitsWithTheReasonWhileNothingIsKnown(t *testing.T) {
	w := serve(t, t.TempDir())
	for _, path := range []string{"/mutate", "/validate"} {
		response := w.ask(path, claim("apps", "data-demo"))
		if response.Allowed || response.Result.Reason != meta.StatusReasonServiceUnavailable || !strings.Contains(response.Result.Message, "not known") {
			t.Fatal(path, response)
		}
	}
}

func TestACertificateThatIsNotTrustedIsNoAnswer(t *testing.T) {
	w := serve(t, testdata+"basic/repo")
	_, err := trusting(t, "second").Post("https://"+w.address+"/validate", "application/json", strings.NewReader("{}"))
	if err == nil {
		t.Fatal("a webhook that nobody vouches for was asked")
	}
}

// The configurations are strict ones of the API, and name what the service has.
func TestTheConfigurationsLeadToTheWebhook(t *testing.T) {
	text, err := os.ReadFile(deploy + "existence/webhook/webhooks.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, document := range bytes.Split(text, []byte("\n---\n")) {
		for _, webhook := range webhooks(t, document) {
			service := webhook.ClientConfig.Service
			if service.Name+"."+service.Namespace+".svc" != serviceName || (*service.Path != "/mutate" && *service.Path != "/validate") {
				t.Fatal(service)
			}
		}
	}
}

// configured is what both kinds of configuration have in common.
type configured struct {
	Name         string
	ClientConfig admissionregistration.WebhookClientConfig
}

func webhooks(t *testing.T, document []byte) []configured {
	var mutating admissionregistration.MutatingWebhookConfiguration
	var validating admissionregistration.ValidatingWebhookConfiguration
	var found []configured
	if bytes.Contains(document, []byte("kind: MutatingWebhookConfiguration")) {
		if err := yaml.UnmarshalStrict(document, &mutating); err != nil {
			t.Fatal(err)
		}
		for _, webhook := range mutating.Webhooks {
			found = append(found, configured{webhook.Name, webhook.ClientConfig})
		}
	} else {
		if err := yaml.UnmarshalStrict(document, &validating); err != nil {
			t.Fatal(err)
		}
		for _, webhook := range validating.Webhooks {
			found = append(found, configured{webhook.Name, webhook.ClientConfig})
		}
	}
	if len(found) == 0 {
		t.Fatal("no webhook in ", string(document))
	}
	return found
}
