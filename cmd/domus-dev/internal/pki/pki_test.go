package pki

import (
	"os"
	"path/filepath"
	"testing"
)

func TestKubeconfigIsKeptWhileItIsRight(t *testing.T) {
	dir := t.TempDir()
	ca, err := EnsureAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	scheduler := Identity{User: "domus:scheduler", Group: "domus:schedulers"}
	path := filepath.Join(dir, "kubeconfigs", "scheduler.kubeconfig")
	write := func(a *Authority, server string, id Identity) string {
		t.Helper()
		if err := a.EnsureKubeconfig(path, server, id); err != nil {
			t.Fatal(err)
		}
		content, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}

	first := write(ca, "https://127.0.0.1:6443", scheduler)
	again, err := EnsureAuthority(dir, "ca")
	if err != nil {
		t.Fatal(err)
	}
	if write(again, "https://127.0.0.1:6443", scheduler) != first {
		t.Error("a valid kubeconfig was written again")
	}
	moved := write(again, "https://127.0.0.1:7443", scheduler)
	if moved == first {
		t.Error("a kubeconfig for another server was kept")
	}
	regrouped := write(again, "https://127.0.0.1:7443", Identity{User: scheduler.User, Group: "other"})
	if regrouped == moved {
		t.Error("a kubeconfig for another group was kept")
	}
	other, err := EnsureAuthority(filepath.Join(dir, "other"), "ca")
	if err != nil {
		t.Fatal(err)
	}
	if write(other, "https://127.0.0.1:7443", Identity{User: scheduler.User, Group: "other"}) == regrouped {
		t.Error("a kubeconfig of another authority was kept")
	}
}
