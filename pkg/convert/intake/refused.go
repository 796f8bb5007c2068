package intake

import (
	"regexp"
	"strconv"
	"strings"

	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/convert"
	"domus.dev/domus/pkg/policy"
)

// rounds bounds how often taking something away may have something else refused.
const rounds = 8

// removeRefused takes away what the policy refuses and returns what it still
// does. Disks and network interfaces stay whatever they are: without them it is
// another machine.
func (s *state) removeRefused(refusals field.ErrorList) field.ErrorList {
	for range rounds {
		if s.vm.Spec.Domain == nil {
			return refusals
		}
		domain, err := readDomain(s.vm.Spec.Domain.Raw)
		if err != nil {
			return append(refusals, field.Invalid(convert.DomainPath, field.OmitValueType{}, err.Error()))
		}
		removed := 0
		// From the last on, so that places in lists stay what they are.
		for i := len(refusals) - 1; i >= 0; i-- {
			r := refusals[i]
			if removable(r) && remove(domain, withItem(strings.TrimPrefix(r.Field, convert.DomainPath.String()+"."))) {
				s.changes = append(s.changes, Change{Path: r.Field, What: "removed", Why: r.ErrorBody()})
				removed++
			}
		}
		if removed == 0 {
			return refusals
		}
		raw, err := writeDomain(domain)
		if err != nil {
			return append(refusals, field.Invalid(convert.DomainPath, field.OmitValueType{}, err.Error()))
		}
		s.vm.Spec.Domain = &runtime.RawExtension{Raw: raw}
		refusals = policy.CheckVirtualMachine(s.vm, s.opts.Level)
	}
	return refusals
}

func removable(r *field.Error) bool {
	for _, kept := range []string{"devices.disks", "devices.interfaces"} {
		if r.Field == convert.DomainPath.String()+"."+kept || strings.HasPrefix(r.Field, convert.DomainPath.String()+"."+kept+"[") {
			return false
		}
	}
	return r.Type != field.ErrorTypeRequired && strings.HasPrefix(r.Field, convert.DomainPath.String()+".")
}

// nothingElse are devices of which nothing is left without the part that says
// what they are: devices.audios[0].alsa.
var nothingElse = regexp.MustCompile(`^(devices\.(?:audios|graphics)\[\d+\])\.[^.\[]+$`)

// withItem is the path of the whole device where nothing would be left of it.
func withItem(path string) string {
	if whole := nothingElse.FindStringSubmatch(path); whole != nil {
		return whole[1]
	}
	return path
}

// remove takes away what a path such as devices.hostdevs[1].rom leads to.
func remove(object map[string]any, path string) bool {
	step, rest, deeper := strings.Cut(path, ".")
	key, index, listed := strings.Cut(strings.TrimSuffix(step, "]"), "[")
	if !listed {
		if !deeper {
			_, there := object[key]
			delete(object, key)
			return there
		}
		inner, ok := object[key].(map[string]any)
		return ok && remove(inner, rest)
	}
	items, _ := object[key].([]any)
	i, err := strconv.Atoi(index)
	if err != nil || i < 0 || i >= len(items) {
		return false
	}
	if deeper {
		inner, ok := items[i].(map[string]any)
		return ok && remove(inner, rest)
	}
	object[key] = append(items[:i:i], items[i+1:]...)
	return true
}
