package dashboards

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// variable is a label whose values are chosen from.
type variable struct {
	name, label string
	// of is the metric whose values are offered.
	of string
	// one says that one value is chosen, and not any number or all.
	one bool
}

var (
	// clusters is a label that Prometheus adds; a Prometheus of one cluster need
	// not, and then all there is has none.
	clusters   = variable{name: "cluster", label: "Cluster", of: "domus_host_info"}
	namespaces = variable{name: "namespace", label: "Namespace", of: `domus_vm_info{cluster=~"$cluster"}`}
	hosts      = variable{name: "node", label: "Host", of: `domus_host_info{cluster=~"$cluster"}`}
	names      = variable{name: "name", label: "VM", of: `domus_vm_info{cluster=~"$cluster",namespace=~"$namespace"}`, one: true}
	profiles   = variable{name: "profile", label: "Profile", of: `domus_placement_attempts_total{cluster=~"$cluster"}`}
)

func (v variable) build() cog.Builder[dashboard.VariableModel] {
	query := "label_values(" + v.of + ", " + v.name + ")"
	b := dashboard.NewQueryVariableBuilder(v.name).Label(v.label).Datasource(source()).
		Query(dashboard.StringOrMap{String: cog.ToPtr(query)}).Definition(query).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).Sort(dashboard.VariableSortAlphabeticalAsc)
	if v.one {
		return b
	}
	// Any value, none among them: a label that nobody sets is not there.
	return b.Multi(true).IncludeAll(true).AllValue(".*").Current(dashboard.VariableOption{
		Selected: cog.ToPtr(true), Text: dashboard.StringOrArrayOfString{String: cog.ToPtr("All")}, Value: dashboard.StringOrArrayOfString{String: cog.ToPtr("$__all")},
	})
}
