// Package containers checks what runs the program in containers: the Compose file by
// the library that Docker Compose reads it with, the Kubernetes manifests by the API's
// own types, as kubectl's strict validation does. It is a separate module, so that the
// shipped one depends on neither.
package containers

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	apps "k8s.io/api/apps/v1"
	batch "k8s.io/api/batch/v1"
	core "k8s.io/api/core/v1"
	networking "k8s.io/api/networking/v1"
	meta "k8s.io/apimachinery/pkg/apis/meta/v1"
	yamlreader "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

const (
	composeDir    = "../../deploy/compose"
	kubernetesDir = "../../deploy/kubernetes"
	user          = 65532
	// grace is what a stop may take: rotation.shutdown_grace by default, and 25 seconds.
	grace = 85 * time.Second
)

func TestComposeFileIsValid(t *testing.T) {
	project := compose(t)

	service := project.Services["mailu-rotator"]
	if got := time.Duration(*service.StopGracePeriod); got < grace {
		t.Errorf("a stop gets %s", got)
	}
	if service.User != "65532:65532" || !service.ReadOnly || !slices.Equal(service.CapDrop, []string{"ALL"}) || service.Privileged {
		t.Errorf("the service is not confined: %+v", service)
	}
	for _, port := range service.Ports {
		if port.HostIP != "127.0.0.1" {
			t.Errorf("port %s is published on %q", port.Published, port.HostIP)
		}
	}
}

func TestComposeMountsEverySecretOfItsConfiguration(t *testing.T) {
	project := compose(t)
	config, err := os.ReadFile(filepath.Join(composeDir, "config.yaml"))
	must(t, err)

	var mounted []string
	for _, secret := range project.Services["mailu-rotator"].Secrets {
		mounted = append(mounted, secret.Source)
		file := project.Secrets[secret.Source].File
		if filepath.Base(file) != secret.Source || filepath.Base(filepath.Dir(file)) != "credentials" {
			t.Errorf("secret %s is the file %s", secret.Source, file)
		}
	}
	sameNames(t, mounted, credentials(config))
}

func compose(t *testing.T) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(composeDir, "compose.yaml")}, cli.WithName("test"))
	must(t, err)
	project, err := options.LoadProject(t.Context())
	must(t, err)
	return project
}

// objects are the parts of the manifests that the tests compare.
type objects struct {
	accounts []core.ServiceAccount
	configs  []core.ConfigMap
	policies []networking.NetworkPolicy
	pods     map[string]core.PodTemplateSpec // by the name of what makes them
	selector *meta.LabelSelector             // of the deployment
}

func TestEveryFieldOfTheManifestsIsOneOfTheAPI(t *testing.T) {
	got := manifests(t)

	want := []string{"mailu-rotator", "mailu-rotator-emergency", "mailu-rotator-sweep"}
	if names := slices.Sorted(maps.Keys(got.pods)); !slices.Equal(names, want) {
		t.Errorf("pods of %v, want %v", names, want)
	}
}

func TestEveryPodIsConfined(t *testing.T) {
	for name, template := range manifests(t).pods {
		spec := template.Spec
		pod, container := spec.SecurityContext, spec.Containers[0].SecurityContext
		switch {
		case !*pod.RunAsNonRoot, *pod.RunAsUser != user, *pod.RunAsGroup != user, *pod.FSGroup != user,
			pod.SeccompProfile.Type != core.SeccompProfileTypeRuntimeDefault:
			t.Errorf("%s: the pod runs as %+v", name, pod)
		case *container.AllowPrivilegeEscalation, !*container.ReadOnlyRootFilesystem, !slices.Equal(container.Capabilities.Drop, []core.Capability{"ALL"}):
			t.Errorf("%s: the container runs as %+v", name, container)
		case *spec.AutomountServiceAccountToken:
			t.Errorf("%s: the pod has a token for the API", name)
		}
		if got := time.Duration(*spec.TerminationGracePeriodSeconds) * time.Second; got < grace {
			t.Errorf("%s: a stop gets %s", name, got)
		}
	}
}

// A selector or a name that matches nothing is no error to Kubernetes.
func TestManifestsReferToEachOther(t *testing.T) {
	got := manifests(t)
	var accounts, configs []string
	for _, account := range got.accounts {
		accounts = append(accounts, account.Name)
	}
	for _, config := range got.configs {
		configs = append(configs, config.Name)
	}
	for name, template := range got.pods {
		for _, selector := range []map[string]string{got.selector.MatchLabels, got.policies[0].Spec.PodSelector.MatchLabels} {
			for key, value := range selector {
				if template.Labels[key] != value {
					t.Errorf("%s: the pod has no label %s=%s", name, key, value)
				}
			}
		}
		if !slices.Contains(accounts, template.Spec.ServiceAccountName) {
			t.Errorf("%s: there is no service account %s", name, template.Spec.ServiceAccountName)
		}
		var declared, used []string
		for _, volume := range template.Spec.Volumes {
			declared = append(declared, volume.Name)
			if volume.ConfigMap != nil && !slices.Contains(configs, volume.ConfigMap.Name) {
				t.Errorf("%s: there is no ConfigMap %s", name, volume.ConfigMap.Name)
			}
		}
		for _, mount := range template.Spec.Containers[0].VolumeMounts {
			used = append(used, mount.Name)
		}
		sameNames(t, used, declared)
	}
}

func TestEveryPodMountsWhatTheConfigurationNames(t *testing.T) {
	got := manifests(t)
	config := got.configs[0].Data["config.yaml"]

	for name, template := range got.pods {
		mounts := map[string]string{}
		for _, mount := range template.Spec.Containers[0].VolumeMounts {
			mounts[mount.Name] = mount.MountPath
		}
		variables := map[string]string{}
		for _, variable := range template.Spec.Containers[0].Env {
			variables[variable.Name] = variable.Value
		}
		if variables["CREDENTIALS_DIRECTORY"] != mounts["credentials"] {
			t.Errorf("%s: CREDENTIALS_DIRECTORY is %s, the secret at %s", name, variables["CREDENTIALS_DIRECTORY"], mounts["credentials"])
		}
		for _, volume := range template.Spec.Volumes {
			if volume.Projected == nil {
				continue
			}
			token := volume.Projected.Sources[0].ServiceAccountToken
			if file := mounts[volume.Name] + "/" + token.Path; !strings.Contains(config, "jwt_file: "+file+"\n") || token.Audience != "vault" {
				t.Errorf("%s: the token for %s is at %s, which the configuration does not name", name, token.Audience, file)
			}
		}
	}
	documented, err := os.ReadFile("../../docs/containers.md")
	must(t, err)
	var made []string
	for _, found := range regexp.MustCompile(`--from-file=(\S+)`).FindAllSubmatch(documented, -1) {
		made = append(made, string(found[1]))
	}
	sameNames(t, made, credentials([]byte(config)))
}

func TestProbesAskThePortOfTheListener(t *testing.T) {
	got := manifests(t)
	container := got.pods["mailu-rotator"].Spec.Containers[0]

	port := container.Ports[0]
	for _, probe := range []*core.Probe{container.LivenessProbe, container.ReadinessProbe} {
		if probe.HTTPGet.Port.String() != port.Name {
			t.Errorf("%s asks port %s", probe.HTTPGet.Path, probe.HTTPGet.Port.String())
		}
	}
	if !strings.Contains(got.configs[0].Data["config.yaml"], `address: ":9180"`) || port.ContainerPort != 9180 ||
		got.policies[0].Spec.Ingress[0].Ports[0].Port.IntValue() != 9180 {
		t.Error("the ports of the listener, the pod and the network policy differ")
	}
}

// manifests decodes all of them. A field that the API does not have is an error.
func manifests(t *testing.T) objects {
	t.Helper()
	files, err := filepath.Glob(kubernetesDir + "/*.yaml")
	must(t, err)
	got := objects{pods: map[string]core.PodTemplateSpec{}}
	for _, file := range files {
		content, err := os.ReadFile(file)
		must(t, err)
		documents := yamlreader.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			must(t, err)
			got.add(t, file, document)
		}
	}
	return got
}

func (o *objects) add(t *testing.T, file string, document []byte) {
	t.Helper()
	decode := func(into any) {
		if err := yaml.UnmarshalStrict(document, into); err != nil {
			t.Fatalf("%s: %v", file, err)
		}
	}
	var kind meta.TypeMeta
	must(t, yaml.Unmarshal(document, &kind))
	switch kind.APIVersion + " " + kind.Kind {
	case "v1 ServiceAccount":
		var account core.ServiceAccount
		decode(&account)
		o.accounts = append(o.accounts, account)
	case "v1 ConfigMap":
		var config core.ConfigMap
		decode(&config)
		o.configs = append(o.configs, config)
	case "networking.k8s.io/v1 NetworkPolicy":
		var policy networking.NetworkPolicy
		decode(&policy)
		o.policies = append(o.policies, policy)
	case "apps/v1 Deployment":
		var deployment apps.Deployment
		decode(&deployment)
		o.pods[deployment.Name], o.selector = deployment.Spec.Template, deployment.Spec.Selector
	case "batch/v1 CronJob":
		var job batch.CronJob
		decode(&job)
		o.pods[job.Name] = job.Spec.JobTemplate.Spec.Template
	default:
		t.Fatalf("%s: a %s of %s is not checked", file, kind.Kind, kind.APIVersion)
	}
}

// credentials are the files that a configuration names.
func credentials(config []byte) (names []string) {
	for _, found := range regexp.MustCompile(`\$CREDENTIALS_DIRECTORY/(\S+)`).FindAllSubmatch(config, -1) {
		names = append(names, string(found[1]))
	}
	return names
}

func sameNames(t *testing.T, got, want []string) {
	t.Helper()
	got, want = slices.Sorted(slices.Values(got)), slices.Sorted(slices.Values(want))
	if !slices.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
