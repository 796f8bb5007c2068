package hostconfig

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

func TestSettingsOfImages(t *testing.T) {
	good := HostConfiguration{ImageDir: "/images", ImageNetworks: []string{"10.1.2.3/16", "2001:db8::/32"}, ImageGrace: &metav1.Duration{Duration: time.Minute}}
	if errs := good.validateImages(field.NewPath("hosts")); len(errs) > 0 {
		t.Error(errs)
	}
	origins := good.Origins()
	if origins.Dir != "/images" || len(origins.Networks) != 2 || origins.Networks[0] != netip.MustParsePrefix("10.1.0.0/16") {
		t.Errorf("origins %+v", origins)
	}
	if got := good.GraceOfImages(); got != time.Minute {
		t.Errorf("grace %s", got)
	}
	if got := (&HostConfiguration{}).GraceOfImages(); got != time.Hour {
		t.Errorf("grace %s when none is set", got)
	}
	bad := HostConfiguration{ImageDir: "images", ImageNetworks: []string{"10.1.0.0/16", "anywhere"}, ImageGrace: &metav1.Duration{Duration: time.Second}}
	got := bad.validateImages(field.NewPath("hosts")).ToAggregate().Error()
	for _, want := range []string{
		`hosts.imageDir: Invalid value: "images": must be a whole path`, `hosts.imageNetworks[1]: Invalid value: "anywhere": must be a network such as 10.1.0.0/16`,
		`hosts.imageGrace: Invalid value: "1s": must be at least 10s`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("errors %s, want %s", got, want)
		}
	}
}
