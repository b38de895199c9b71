//go:build tools

// The programs of Kubernetes that tests/cluster/run starts. They are named here so that `go mod tidy` keeps their modules.
package parts

import (
	_ "k8s.io/kubernetes/cmd/kube-apiserver"
	_ "k8s.io/kubernetes/cmd/kube-controller-manager"
	_ "k8s.io/kubernetes/cmd/kubectl"
)
