package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// programs are the test binaries of all packages that test a safeguard, built once, from code in which each safeguard
// can be removed.
type programs struct {
	dir    string
	intact sync.Map // by a safeguard's tests: func() error, which runs them with nothing removed
}

// buildPrograms builds the tests of all safeguards into a folder. The repository is not changed: only the compiler sees
// the code in which they can be removed.
func buildPrograms(ctx context.Context, dir string, all []safeguard) (*programs, error) {
	files, err := removable(".", all)
	if err != nil {
		return nil, err
	}
	replaced := map[string]string{}
	for file, text := range files {
		original, err := filepath.Abs(file)
		if err != nil {
			return nil, err
		}
		replaced[original] = filepath.Join(dir, strings.ReplaceAll(file, string(filepath.Separator), "+"))
		if err := os.WriteFile(replaced[original], []byte(text), 0o600); err != nil {
			return nil, err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replaced})
	if err != nil {
		return nil, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, content, 0o600); err != nil {
		return nil, err
	}
	var packages []string
	for _, s := range all {
		packages = append(packages, s.testPackage())
	}
	slices.Sort(packages)
	args := []string{"test", "-c", "-vet=off", "-overlay", list, "-o", dir + string(filepath.Separator)}
	out, err := exec.CommandContext(ctx, "go", append(args, slices.Compact(packages)...)...).CombinedOutput()
	if err != nil {
		return nil, fmt.Errorf("building the tests: %w\n%s", err, out)
	}
	return &programs{dir: dir}, nil
}

// without runs a safeguard's tests twice: with nothing removed they must pass, and without the safeguard they must not.
// It returns the safeguard's file and the test that failed.
func (p *programs) without(ctx context.Context, s safeguard) (file, test string, err error) {
	if file, err = s.find("."); err != nil {
		return "", "", err
	}
	intact, _ := p.intact.LoadOrStore(s.tests, sync.OnceValue(func() error {
		if out, err := p.run(ctx, s, ""); err != nil {
			return fmt.Errorf("its tests fail with nothing removed: %w\n%s", err, out)
		}
		return nil
	}))
	if err := intact.(func() error)(); err != nil {
		return file, "", err
	}
	out, err := p.run(ctx, s, s.id)
	if err == nil {
		return file, "", errors.New("no test failed without it")
	}
	test, err = firstFailure(out)
	return file, test, err
}

// run runs a safeguard's tests, as go test does, in the folder of their package.
func (p *programs) run(ctx context.Context, s safeguard, removed string) (out string, err error) {
	folder, args := s.testPackage(), []string{"-test.timeout=2m"}
	for _, arg := range strings.Fields(s.tests)[1:] {
		args = append(args, strings.Replace(arg, "-run", "-test.run", 1))
	}
	test := exec.CommandContext(ctx, filepath.Join(p.dir, filepath.Base(folder)+".test"), args...)
	test.Dir = folder
	test.Env = append(os.Environ(), removedVariable+"="+removed)
	said, err := test.CombinedOutput()
	return string(said), err
}

// testPackage is the folder of the package whose tests must fail.
func (s safeguard) testPackage() string { return strings.Fields(s.tests)[0] }
