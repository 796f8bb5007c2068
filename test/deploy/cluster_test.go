package deploy

import (
	"context"
	"fmt"
	"net"
	"sync"
	"testing"
	"time"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/ptr"
)

// kubeletLease is renewed in the kubelet's place.
const kubeletLease = 10 * time.Second

// join makes a Node as a kubelet does, and keeps its Lease renewed.
func (p *plane) join(t *testing.T, name, zone string) {
	t.Helper()
	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: map[string]string{
		corev1.LabelHostname: name, corev1.LabelOSStable: "linux", corev1.LabelTopologyZone: zone,
		"domus.dev/executor": "daemonset", "demo.domus.dev/host": "simulated",
	}}}
	if err := p.client.Create(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	amounts := corev1.ResourceList{corev1.ResourceCPU: resource.MustParse("64"), corev1.ResourceMemory: resource.MustParse("256Gi"), corev1.ResourcePods: resource.MustParse("110")}
	node.Status.Capacity, node.Status.Allocatable = amounts, amounts
	node.Status.Conditions = []corev1.NodeCondition{{Type: corev1.NodeReady, Status: corev1.ConditionTrue, Reason: "KubeletReady", LastHeartbeatTime: metav1.Now(), LastTransitionTime: metav1.Now()}}
	if err := p.client.Status().Update(t.Context(), node); err != nil {
		t.Fatal(err)
	}
	lease := &coordinationv1.Lease{ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: corev1.NamespaceNodeLease}, Spec: coordinationv1.LeaseSpec{
		HolderIdentity: &node.Name, LeaseDurationSeconds: ptr.To[int32](40), RenewTime: &metav1.MicroTime{Time: time.Now()},
	}}
	if err := p.client.Create(t.Context(), lease); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	go func() {
		for {
			select {
			case <-ctx.Done():
				return
			case <-time.After(kubeletLease):
				lease.Spec.RenewTime = &metav1.MicroTime{Time: time.Now()}
				_ = p.client.Update(ctx, lease)
			}
		}
	}()
}

// endpoints are the pods behind a Service, as its controller finds them.
type endpoints struct {
	mu   sync.Mutex
	pods []*pod
	next int
}

// set says which pods are ready.
func (e *endpoints) set(pods ...*pod) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.pods = pods
}

func (e *endpoints) dial(port int) (net.Conn, error) {
	e.mu.Lock()
	if len(e.pods) == 0 {
		e.mu.Unlock()
		return nil, fmt.Errorf("no pod is ready")
	}
	o := e.pods[e.next%len(e.pods)]
	e.next++
	e.mu.Unlock()
	return o.space.dial(context.Background(), port)
}

// serve lets the API server reach a Service's pods at port: by an EndpointSlice with an
// address of this machine, since endpoints cannot be on loopback.
func (p *plane) serve(t *testing.T, service, portName string, port int) *endpoints {
	t.Helper()
	e := &endpoints{}
	ip := machineAddress(t)
	listener, err := net.Listen("tcp4", net.JoinHostPort(ip, "0"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go forward(listener, func() (net.Conn, error) { return e.dial(port) })
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Name: service + "-played", Namespace: system, Labels: map[string]string{discoveryv1.LabelServiceName: service}},
		AddressType: discoveryv1.AddressTypeIPv4,
		Endpoints:   []discoveryv1.Endpoint{{Addresses: []string{ip}, Conditions: discoveryv1.EndpointConditions{Ready: ptr.To(true)}}},
		Ports:       []discoveryv1.EndpointPort{{Name: &portName, Port: ptr.To(int32(listener.Addr().(*net.TCPAddr).Port)), Protocol: ptr.To(corev1.ProtocolTCP)}},
	}
	if err := p.client.Create(t.Context(), slice); err != nil {
		t.Fatal(err)
	}
	return e
}

func machineAddress(t *testing.T) string {
	t.Helper()
	all, err := net.InterfaceAddrs()
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range all {
		if n, ok := a.(*net.IPNet); ok && n.IP.To4() != nil && n.IP.IsGlobalUnicast() {
			return n.IP.String()
		}
	}
	t.Fatal("this machine has no address beyond loopback, and the API server calls webhooks at none: give it one, such as ip address add 192.0.2.2/32 dev lo")
	return ""
}
