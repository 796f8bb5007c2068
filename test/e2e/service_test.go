package e2e

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

const (
	servicePort = 80
	guestPort   = 8080
)

// serves has a guest answer with its VM's name by HTTP.
func serves(t *testing.T, vm *v1alpha1.VirtualMachine) {
	t.Helper()
	succeeds(t, vm, "SERVES-"+strings.ToUpper(vm.Name), "mkdir -p /tmp/www && echo "+vm.Name+" >/tmp/www/index.html && busybox httpd -p 8080 -h /tmp/www")
}

// answering are those who answer when a host's process asks for a Service n times.
func answering(t *testing.T, h realHost, address string, n int) func() ([]string, error) {
	return func() (who []string, err error) {
		for range n {
			name, err := h.asks(t, address)
			if err != nil {
				return who, err
			}
			if !slices.Contains(who, name) {
				who = append(who, name)
			}
		}
		slices.Sort(who)
		return who, nil
	}
}

// The real kube-proxy leads what asks for a Service, on a host and in a guest, to the
// guests of two hosts, the one that asks among them, and to no guest that was stopped.
func TestServiceOfGuests(t *testing.T) {
	g := NewWithT(t)
	modes := proxyModes(t)
	g.Expect(modes).NotTo(BeEmpty(), "kube-proxy can work in no mode here")
	twoHosts(t)
	createPodNetwork(t)
	names := []string{"serve-a", "serve-b"}
	t.Cleanup(func() {
		for _, name := range names {
			remove(t, name)
		}
	})
	for i, h := range []realHost{first(), second()} {
		vm := onPodsOf(t, h, names[i])
		vm.Labels = map[string]string{"app": "web"}
		create(t, vm)
	}
	a, b := hasPodAddress(t, names[0], "10.244.0."), hasPodAddress(t, names[1], "10.244.1.")
	serves(t, a)
	serves(t, b)

	service := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: "web"}}
	service.Annotations = map[string]string{v1alpha1.ServiceSelectorAnnotation: "app=web"}
	service.Spec.Ports = []corev1.ServicePort{{Port: servicePort, TargetPort: intstr.FromInt32(guestPort), Protocol: corev1.ProtocolTCP}}
	g.Expect(env.Create(t.Context(), service)).To(Succeed())
	t.Cleanup(func() {
		if err := env.Delete(context.Background(), service); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	})
	first().routesServices(t)
	first().reachesAPIServer(t)
	address := service.Spec.ClusterIP
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			g := NewWithT(t)
			_, err := first().asks(t, address)
			g.Expect(err).To(HaveOccurred(), "the Service is served without kube-proxy: the test shows nothing")
			first().proxy(t, mode)
			g.Eventually(answering(t, first(), address, 12)).WithTimeout(settleTime).Should(Equal(names))
			// A guest too, itself among those who answer it: the bridge's ports send back
			// where a frame came from. Its busybox, linked statically, has a wget that does
			// not get as far as asking.
			heard := func() []string {
				const ask = `printf 'GET / HTTP/1.0\r\n\r\n' | busybox nc -w 3 %s %d | busybox tail -n 1`
				return strings.Fields(hear(t, a, "for i in 1 2 3 4 5 6; do "+fmt.Sprintf(ask, address, servicePort)+"; done"))
			}
			g.Eventually(heard).WithTimeout(settleTime).Should(ContainElements(names))
		})
	}
	// A guest that was stopped is asked for nothing any more.
	first().proxy(t, modes[0])
	g.Eventually(answering(t, first(), address, 12)).WithTimeout(settleTime).Should(Equal(names))
	setPower(t, names[1], v1alpha1.PowerStopped)
	g.Eventually(get(t, names[1])).WithTimeout(bootTime).Should(WithTransform(phase, Equal(v1alpha1.PhaseStopped)))
	g.Eventually(answering(t, first(), address, 12)).WithTimeout(settleTime).Should(Equal(names[:1]))
}
