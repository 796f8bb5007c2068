package explain

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// BenchmarkReview is a fleet of 5,000 hosts with 60,000 VMs.
func BenchmarkReview(b *testing.B) {
	w := newWorld(b)
	w.fill(5000)
	cellular := func(v *v1alpha1.VirtualMachine) { v.Spec.Resources.NUMA = v1alpha1.NUMASingleCell }
	for _, c := range []struct {
		name     string
		vm       *v1alpha1.VirtualMachine
		question v1alpha1.PlacementQuestion
	}{
		{"Explain/fits everywhere", vm("asked", 2, 2*gib), v1alpha1.PlacementExplain},
		{"Explain/fits nowhere", vm("asked", 6, 2*gib, cellular), v1alpha1.PlacementExplain},
		{"Fit/anywhere", vm("asked", 1, gib), v1alpha1.PlacementFit},
		{"Fit/in one cell", vm("asked", 1, gib, cellular), v1alpha1.PlacementFit},
		{"Fit/spread", vm("asked", 1, gib, spread), v1alpha1.PlacementFit},
		{"Fit/apart", vm("asked", 1, gib, apart(corev1.LabelHostname)), v1alpha1.PlacementFit},
	} {
		b.Run(c.name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if _, err := w.explainer.Review(context.Background(), c.vm, &v1alpha1.PlacementReviewSpec{Question: c.question}); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// spread is over zones, as even as can be.
func spread(v *v1alpha1.VirtualMachine) {
	v.Spec.TopologySpreadConstraints = []corev1.TopologySpreadConstraint{{
		MaxSkew: 1, TopologyKey: corev1.LabelTopologyZone, WhenUnsatisfiable: corev1.DoNotSchedule,
		LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}},
	}}
}

// apart keeps VMs of the same app off each other.
func apart(key string) func(v *v1alpha1.VirtualMachine) {
	return func(v *v1alpha1.VirtualMachine) {
		v.Spec.Affinity = &corev1.Affinity{PodAntiAffinity: &corev1.PodAntiAffinity{RequiredDuringSchedulingIgnoredDuringExecution: []corev1.PodAffinityTerm{{
			TopologyKey: key, LabelSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"app": "a"}},
		}}}}
	}
}
