// Package dashboards makes the Grafana dashboards of manifests/monitoring. Tests
// hold each query against the table of metrics, and against a cluster.
package dashboards

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// board is a dashboard to be.
type board struct {
	// uid is part of its address, and of its file's name.
	uid, title, description string
	// variables beside the data source and the cluster.
	variables []variable
	rows      []row
}

type row struct {
	title  string
	panels []panel
}

// All makes the dashboards, by the names of their files.
func All() (map[string][]byte, error) {
	out := map[string][]byte{}
	for _, b := range []board{placement(), fleet(), vm(), internals()} {
		d, err := b.build()
		if err != nil {
			return nil, fmt.Errorf("making dashboard %s: %w", b.uid, err)
		}
		data, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("writing dashboard %s: %w", b.uid, err)
		}
		out[b.uid+".json"] = append(data, '\n')
	}
	return out, nil
}

// Write writes them into a folder, which is made where it is missing.
func Write(dir string) error {
	all, err := All()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return fmt.Errorf("writing dashboards: %w", err)
	}
	for name, data := range all {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return fmt.Errorf("writing dashboards: %w", err)
		}
	}
	return nil
}

// tag marks the project's dashboards; each links to the others by it.
const tag = "domus"

func (b *board) build() (dashboard.Dashboard, error) {
	d := dashboard.NewDashboardBuilder(b.title).Uid(b.uid).Description(b.description).Tags([]string{tag}).
		Time("now-6h", "now").Refresh("30s").Timezone("browser").Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("Domus").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{tag}).
			AsDropdown(true).IncludeVars(true).KeepTime(true)).
		WithVariable(dashboard.NewDatasourceVariableBuilder("datasource").Label("Data source").Type("prometheus"))
	for _, v := range append([]variable{clusters}, b.variables...) {
		d.WithVariable(v.build())
	}
	for _, r := range b.rows {
		d.WithRow(dashboard.NewRowBuilder(r.title))
		for _, p := range r.panels {
			d.WithPanel(p.build())
		}
	}
	return d.Build()
}

// source is the data source that was chosen.
func source() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr("prometheus"), Uid: cog.ToPtr("${datasource}")}
}
