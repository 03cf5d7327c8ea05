package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"
	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/termed/termed/config"
	"github.com/termed/termed/ordergroove/sim"
	"github.com/termed/termed/webhook"
)

// installed returns the path of a program, or skips the test.
func installed(t *testing.T, program string) string {
	t.Helper()
	path, err := exec.LookPath(program)
	if err != nil {
		if path, err = exec.LookPath("/usr/sbin/" + program); err != nil {
			t.Skipf("%s is not installed", program)
		}
	}
	return path
}

// serving is a service that runs until the end of the test.
func serving(t *testing.T) *harness {
	t.Helper()
	h := newHarness(t.TempDir(), sim.Options{})
	t.Cleanup(h.close)
	if err := os.WriteFile(filepath.Join(h.dir, "termed.yaml"), []byte(loadConfigYAML), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := h.serve(); err != nil {
		t.Fatal(err)
	}
	return h
}

func readDeploy(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("..", "..", "deploy", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// The unit of systemd is right, as systemd sees it.
func TestSystemdUnit(t *testing.T) {
	t.Parallel()
	analyze := installed(t, "systemd-analyze")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	unit := strings.ReplaceAll(readDeploy(t, "systemd/termed.service"), "/usr/local/bin/termed", program)
	path := filepath.Join(t.TempDir(), "termed.service")
	if err := os.WriteFile(path, []byte(unit), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput()
	if err != nil || bytes.Contains(out, []byte("termed.service")) {
		t.Errorf("%v\n%s", err, out)
	}
	wrong := strings.Replace(unit, "WatchdogSec", "WatchDogSec", 1)
	if err := os.WriteFile(path, []byte(wrong), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := exec.CommandContext(t.Context(), analyze, "verify", "--man=no", path).CombinedOutput(); len(out) == 0 {
		t.Error("a misspelled setting is not found")
	}
}

// systemd hears when the service receives, that it is alive, and when it stops.
func TestTellsItsSupervisor(t *testing.T) {
	dir, err := os.MkdirTemp("", "n") // the address of a socket is short
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	supervisor, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: socket, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { supervisor.Close() })
	t.Setenv("NOTIFY_SOCKET", socket)
	t.Setenv("WATCHDOG_USEC", "600000")
	h := serving(t)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := nextState(t, supervisor); got != want {
			t.Fatalf("the supervisor is told %q, want %q", got, want)
		}
	}
	if err := h.end(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	for got := ""; got != "STOPPING=1"; got = nextState(t, supervisor) {
		if got != "" && got != "WATCHDOG=1" {
			t.Fatalf("the supervisor is told %q at the end", got)
		}
	}
}

func nextState(t *testing.T, supervisor *net.UnixConn) string {
	t.Helper()
	if err := supervisor.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		t.Fatal(err)
	}
	state := make([]byte, 100)
	n, err := supervisor.Read(state)
	if err != nil {
		t.Fatal(err)
	}
	return string(state[:n])
}

// A delivery goes through the proxies as they are configured, with its signature intact, and nothing else does.
func TestProxies(t *testing.T) {
	t.Parallel()
	h := serving(t)
	upstream := strings.TrimSuffix(strings.TrimPrefix(h.webhookURL, "http://"), webhook.Path)
	t.Run("caddy", func(t *testing.T) {
		caddy, address := installed(t, "caddy"), freeAddress(t)
		dir := t.TempDir()
		command := exec.CommandContext(t.Context(), caddy, "run", "--adapter", "caddyfile",
			"--config", filepath.Join("..", "..", "deploy", "proxy", "Caddyfile"))
		command.Env = append(os.Environ(), "DOMAIN=http://"+address, "UPSTREAMS="+upstream, "CADDY_ADMIN="+freeAddress(t),
			"HOME="+dir, "XDG_DATA_HOME="+dir, "XDG_CONFIG_HOME="+dir)
		passesOn(t, command, address)
	})
	t.Run("nginx", func(t *testing.T) {
		nginx, address := installed(t, "nginx"), freeAddress(t)
		dir := t.TempDir()
		site := readDeploy(t, "proxy/nginx.conf")
		for from, to := range map[string]string{
			"listen 443 ssl;":        "listen " + address + ";",
			"server 127.0.0.1:8080 ": "server " + upstream + " ",
		} {
			if !strings.Contains(site, from) {
				t.Fatalf("nginx.conf has no %q", from)
			}
			site = strings.Replace(site, from, to, 1)
		}
		site = regexp.MustCompile(`(?m)^\s*ssl_certificate.*\n`).ReplaceAllString(site, "")
		text := fmt.Sprintf("daemon off; pid %[1]s/pid; error_log stderr; events {}\nhttp { access_log off; "+
			"client_body_temp_path %[1]s/body; proxy_temp_path %[1]s/proxy; fastcgi_temp_path %[1]s/f; "+
			"uwsgi_temp_path %[1]s/u; scgi_temp_path %[1]s/s;\n%[2]s}\n", dir, site)
		file := filepath.Join(dir, "nginx.conf")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		passesOn(t, exec.CommandContext(t.Context(), nginx, "-c", file, "-e", "stderr"), address)
	})
}

// passesOn runs a proxy at an address and checks what goes through it.
func passesOn(t *testing.T, proxy *exec.Cmd, address string) {
	t.Helper()
	var said lockedBuffer
	proxy.Stdout, proxy.Stderr = &said, &said
	proxy.Cancel = func() error { return proxy.Process.Signal(os.Interrupt) }
	proxy.WaitDelay = 5 * time.Second
	if err := proxy.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = proxy.Process.Signal(os.Interrupt)
		_ = proxy.Wait()
	})
	for end := time.Now().Add(15 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		connection, err := net.Dial("tcp", address)
		if err == nil {
			connection.Close()
			break
		}
		if time.Now().After(end) {
			t.Fatalf("the proxy does not listen: %v\n%s", err, said.String())
		}
	}
	delivery := filepath.Join("..", "..", "testdata", "webhooks", "order.success.json")
	replay := []string{"replay", "--url", "http://" + address + webhook.Path, "--key", canaryWebhookKey, delivery}
	out, err := runHere(t.Context(), replay, "http://127.0.0.1")
	if err != nil || !strings.Contains(out, "200") {
		t.Errorf("a delivery through the proxy: %v\n%s\n%s", err, out, said.String())
	}
	for _, path := range []string{"/", "/healthz", "/subscriptions", "/webhooks/other"} {
		response, err := http.Get("http://" + address + path)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != http.StatusNotFound {
			t.Errorf("%s goes through the proxy: %s", path, response.Status)
		}
	}
}

var aMetric = regexp.MustCompile(`\b(?:termed|process)_[a-z_]+\b`)

// Every metric that the alerts and the dashboard name exists, every metric of the documents, too; each alert leads to a
// part of a document.
func TestAlertsAndDashboard(t *testing.T) {
	t.Parallel()
	h := serving(t)
	response, err := http.Get(h.consoleURL + "/metrics")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	served, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	operations, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"the rules":          readDeploy(t, "prometheus/termed.rules.yaml"),
		"the dashboard":      readDeploy(t, "grafana/termed.json"),
		"docs/operations.md": string(operations),
	} {
		for _, metric := range aMetric.FindAllString(text, -1) {
			if !bytes.Contains(served, []byte("\n# TYPE "+metric+" ")) {
				t.Errorf("%s names %s, which /metrics does not have", name, metric)
			}
		}
	}
	if !json.Valid([]byte(readDeploy(t, "grafana/termed.json"))) {
		t.Error("the dashboard is not JSON")
	}
	var rules struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr string
				Annotations struct {
					Summary string
					Runbook string `yaml:"runbook_url"`
				}
			}
		}
	}
	if err := yaml.Unmarshal([]byte(readDeploy(t, "prometheus/termed.rules.yaml")), &rules); err != nil {
		t.Fatal(err)
	}
	for _, rule := range rules.Groups[0].Rules {
		whole := rule.Alert != "" && rule.Expr != "" && rule.Annotations.Summary != ""
		if !whole || !leadsSomewhere(rule.Annotations.Runbook) {
			t.Errorf("alert %q has no expression or summary, or a runbook that does not exist: %s", rule.Alert,
				rule.Annotations.Runbook)
		}
	}
}

// leadsSomewhere says whether a runbook's document and heading exist.
func leadsSomewhere(url string) bool {
	path, found := strings.CutPrefix(url, "https://github.com/termed/termed/blob/main/")
	file, heading, _ := strings.Cut(path, "#")
	text, err := os.ReadFile(filepath.Join("..", "..", file))
	if !found || err != nil {
		return false
	}
	for line := range strings.Lines(string(text)) {
		title, isHeading := strings.CutPrefix(strings.TrimSpace(line), "## ")
		if isHeading && strings.ReplaceAll(strings.ToLower(title), " ", "-") == heading {
			return true
		}
	}
	return heading == ""
}

// promtool, where it is installed, understands the rules.
func TestPromtool(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), installed(t, "promtool"), "check", "rules",
		filepath.Join("..", "..", "deploy", "prometheus", "termed.rules.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// schemaOf compiles a schema of deploy/testdata.
func schemaOf(t *testing.T, name string) *jsonschema.Schema {
	t.Helper()
	c := jsonschema.NewCompiler()
	if err := c.AddResource(name, fromYAML(t, readDeploy(t, "testdata/"+name))); err != nil {
		t.Fatal(err)
	}
	schema, err := c.Compile(name)
	if err != nil {
		t.Fatal(err)
	}
	return schema
}

func fromYAML(t *testing.T, text string) any {
	t.Helper()
	inJSON, err := yaml.YAMLToJSON([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(inJSON))
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// The manifest of Kubernetes has no unknown field, its configuration is right, and its probes ask for paths that the
// webhook listener answers.
func TestKubernetesManifest(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, "kubernetes.schema.yaml")
	manifest := readDeploy(t, "kubernetes/termed.yaml")
	var kinds []string
	for document := range strings.SplitSeq(manifest, "\n---\n") {
		if err := schema.Validate(fromYAML(t, document)); err != nil {
			t.Errorf("%v", err)
		}
		var object struct {
			Kind string
			Data map[string]string
		}
		if err := yaml.Unmarshal([]byte(document), &object); err != nil {
			t.Fatal(err)
		}
		kinds = append(kinds, object.Kind)
		if text, ok := object.Data["termed.yaml"]; ok {
			if _, err := config.Parse("termed.yaml", []byte(text), nil); err != nil {
				t.Error(err)
			}
		}
	}
	if diff := cmp.Diff([]string{"ConfigMap", "PersistentVolumeClaim", "Deployment", "Service"}, kinds); diff != "" {
		t.Errorf("other objects (-want +got):\n%s", diff)
	}
	for _, path := range regexp.MustCompile(`path: (/\S+?)[, ]`).FindAllStringSubmatch(manifest, -1) {
		if !slices.Contains([]string{webhook.HealthPath, "/livez"}, path[1]) {
			t.Errorf("a probe asks for %s", path[1])
		}
	}
	wrong := strings.Replace(manifest, "readinessProbe", "readynessProbe", 1)
	if schema.Validate(fromYAML(t, strings.Split(wrong, "\n---\n")[2])) == nil {
		t.Error("a misspelled field is not found")
	}
}

// The compose files have no unknown field, and every secret, volume and service that they use is one that they have.
func TestComposeFiles(t *testing.T) {
	t.Parallel()
	schema := schemaOf(t, "compose.schema.yaml")
	for _, name := range []string{"compose.sqlite.yaml", "compose.postgres.yaml"} {
		text := readDeploy(t, "docker/"+name)
		if err := schema.Validate(fromYAML(t, text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		var file struct {
			Services map[string]struct {
				Secrets []string
				Volumes []string
				Depends map[string]any `yaml:"depends_on"`
			}
			Secrets map[string]any
			Volumes map[string]any
		}
		if err := yaml.Unmarshal([]byte(text), &file); err != nil {
			t.Fatal(err)
		}
		for service, s := range file.Services {
			for _, secret := range s.Secrets {
				if _, ok := file.Secrets[secret]; !ok {
					t.Errorf("%s: %s uses the secret %s", name, service, secret)
				}
			}
			for _, volume := range s.Volumes {
				from, _, _ := strings.Cut(volume, ":")
				if _, ok := file.Volumes[from]; !ok && !strings.HasPrefix(from, ".") {
					t.Errorf("%s: %s uses the volume %s", name, service, from)
				}
			}
			for other := range s.Depends {
				if _, ok := file.Services[other]; !ok {
					t.Errorf("%s: %s depends on %s", name, service, other)
				}
			}
		}
	}
}

// The image runs commands that exist, with the flags that they have.
func TestDockerfile(t *testing.T) {
	t.Parallel()
	text := readDeploy(t, "docker/Dockerfile")
	root := rootCommand(environment{lookup: os.LookupEnv})
	for _, list := range regexp.MustCompile(`(?m)CMD (\[.*\])$`).FindAllStringSubmatch(text, -1) {
		var words []string
		if err := json.Unmarshal([]byte(list[1]), &words); err != nil {
			t.Fatal(err)
		}
		if words[0] == "termed" {
			words = words[1:]
		}
		if problem := hintProblem(root, strings.Join(words, " ")); problem != "" {
			t.Errorf("%s: %s", list[1], problem)
		}
	}
	for _, want := range []string{"USER nonroot", "HEALTHCHECK ", "CGO_ENABLED=0"} {
		if !strings.Contains(text, want) {
			t.Errorf("the Dockerfile has no %q", want)
		}
	}
}
