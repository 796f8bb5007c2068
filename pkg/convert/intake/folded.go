package intake

import (
	"regexp"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/util/validation/field"

	"domus.dev/domus/pkg/convert"
)

var (
	// ofSource are refusals of where a device leads to, and ofEnd of what means
	// something only there: it goes when the device leads elsewhere.
	ofSource = regexp.MustCompile(`^(` + regexp.QuoteMeta(convert.DomainPath.String()) + `\.devices\.(?:disks|interfaces)\[\d+\])\.source(?:\.|$)`)
	ofEnd    = regexp.MustCompile(`^(` + regexp.QuoteMeta(convert.DomainPath.String()) + `\.devices\.(?:disks\[\d+\]|interfaces\[\d+\]))\.(auth|virtualPort|target)(?:\.|$)`)
)

// folded makes one refusal of several that have one cause: the source of a device,
// and what of the device is about that source only.
func folded(refusals field.ErrorList) field.ErrorList {
	sources := map[string]*field.Error{}
	out := make(field.ErrorList, 0, len(refusals))
	for _, r := range refusals {
		if device := ofSource.FindStringSubmatch(r.Field); device != nil && r.Type == field.ErrorTypeForbidden && sources[device[1]] == nil {
			own := *r
			r, sources[device[1]] = &own, &own
		}
		out = append(out, r)
	}
	with := map[*field.Error][]string{}
	out = slices.DeleteFunc(out, func(r *field.Error) bool {
		end := ofEnd.FindStringSubmatch(r.Field)
		if end == nil || r.Type != field.ErrorTypeForbidden || sources[end[1]] == nil {
			return false
		}
		source := sources[end[1]]
		if !slices.Contains(with[source], end[2]) {
			with[source] = append(with[source], end[2])
		}
		return true
	})
	for source, ends := range with {
		source.Detail += "; with another source, remove " + strings.Join(ends, " and ") + " too"
	}
	return out
}
