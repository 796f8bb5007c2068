package integration

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/api/vmstatus"
)

// TestAnExecutorReportsWhatAGuestSays also holds the schema against the most that
// an executor takes over from a guest.
func TestAnExecutorReportsWhatAGuestSays(t *testing.T) {
	startScheduler(t, schedulerOptions{})
	ns := namespace(t, nil)
	host := hosts(t, ns, 1, mid)[0]
	cfg, err := suite.plane.as("domus:executor:"+host, "domus:executors")
	if err != nil {
		t.Fatal(err)
	}
	executor, err := client.New(cfg, client.Options{Scheme: suite.plane.scheme})
	if err != nil {
		t.Fatal(err)
	}
	create(t, newVM(ns, "vm", 1, 1))
	vm := waitVM(t, ns, "vm", boundTo(host))

	most := &v1alpha1.GuestStatus{
		Hostname: strings.Repeat("ä", 126), Addresses: "10.0.2.15,2001:db8::1",
		OS: &v1alpha1.GuestOS{ID: strings.Repeat("x", 63), Name: strings.Repeat("x", 253), Version: strings.Repeat("x", 253), Kernel: strings.Repeat("x", 253)},
	}
	for i := range 64 {
		in := v1alpha1.GuestInterface{Name: strings.Repeat("x", 63), MAC: "52:54:00:12:34:56"}
		for j := range 32 {
			in.Addresses = append(in.Addresses, fmt.Sprintf("2001:db8:1111:2222:3333:4444:%x:%x", i, j))
		}
		most.Interfaces = append(most.Interfaces, in)
	}
	stored, err := vmstatus.New(executor).Patch(t.Context(), vm, func(s *v1alpha1.VirtualMachineStatus) { s.Guest = most })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(most, stored.Status.Guest); diff != "" {
		t.Error(diff)
	}

	data, err := suite.clientset.CoreV1().RESTClient().Get().AbsPath("/apis/domus.dev/v1alpha1/namespaces/"+ns+"/virtualmachines/vm").
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	table := &metav1.Table{}
	if err := json.Unmarshal(data, table); err != nil {
		t.Fatal(err)
	}
	column := slices.IndexFunc(table.ColumnDefinitions, func(c metav1.TableColumnDefinition) bool { return c.Name == "Addresses" })
	if column < 0 || len(table.Rows) != 1 {
		t.Fatalf("got %s", data)
	}
	if got := table.Rows[0].Cells[column]; got != most.Addresses || table.ColumnDefinitions[column].Priority != 1 {
		t.Errorf("kubectl get -o wide shows %v", got)
	}

	if _, err := vmstatus.New(executor).Patch(t.Context(), stored, func(s *v1alpha1.VirtualMachineStatus) { s.Guest = nil }); err != nil {
		t.Errorf("when the guest is gone: %v", err)
	}
}
