package dashboards

import (
	"strconv"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/heatmap"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statushistory"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// kind is how a panel shows its series.
type kind int

const (
	// lines over time, areas on top of each other, and one number now.
	lines kind = iota
	areas
	number
	// rowsNow is a table of what is now.
	rowsNow
	// buckets shows a histogram over time, and squares each series as a line of
	// squares, coloured from 0 (empty) to 1 (full).
	buckets
	squares
)

// Units of Grafana.
const (
	seconds  = "s"
	bytes    = "bytes"
	share    = "percentunit"
	perBytes = "Bps"
	perOps   = "ops"
	plain    = "short"
)

// panel is a panel to be.
type panel struct {
	title, description string
	kind               kind
	unit               string
	// width is in 24ths of the page; half of it when 0.
	width   uint32
	queries []query
}

type query struct{ expr, legend string }

const height = 8

// targets are the panel's queries. sel stands for what a query selects by.
func (p *panel) targets() []cog.Builder[variants.Dataquery] {
	var out []cog.Builder[variants.Dataquery]
	for i, q := range p.queries {
		b := prometheus.NewDataqueryBuilder().Expr(q.expr).LegendFormat(q.legend).RefId(string(rune('A' + i))).Datasource(source())
		switch p.kind {
		case number, rowsNow:
			b.Instant()
		default:
			b.Range()
		}
		switch p.kind {
		case rowsNow:
			b.Format(prometheus.PromQueryFormatTable)
		case buckets:
			b.Format(prometheus.PromQueryFormatHeatmap)
		default:
			b.Format(prometheus.PromQueryFormatTimeSeries)
		}
		out = append(out, b)
	}
	return out
}

func (p *panel) span() uint32 {
	if p.width == 0 {
		return 12
	}
	return p.width
}

// fullness colours from 0 to 1.
func fullness() *dashboard.ThresholdsConfigBuilder {
	steps := []dashboard.Threshold{{Value: nil, Color: "dark-blue"}}
	for _, s := range []struct {
		from  float64
		color string
	}{{0.25, "blue"}, {0.5, "green"}, {0.7, "yellow"}, {0.85, "orange"}, {0.95, "red"}} {
		steps = append(steps, dashboard.Threshold{Value: cog.ToPtr(s.from), Color: s.color})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(steps)
}

func (p *panel) build() cog.Builder[dashboard.Panel] {
	switch p.kind {
	case number:
		b := stat.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source()).Unit(p.unit).Span(p.span()).Height(height / 2).
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}))
		for _, t := range p.targets() {
			b.WithTarget(t)
		}
		return b
	case rowsNow:
		b := table.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source()).Unit(p.unit).Span(p.span()).Height(height)
		for _, t := range p.targets() {
			b.WithTarget(t)
		}
		return b
	case buckets:
		b := heatmap.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source()).Span(p.span()).Height(height).
			YAxis(heatmap.NewYAxisConfigBuilder().Unit(p.unit))
		for _, t := range p.targets() {
			b.WithTarget(t)
		}
		return b
	case squares:
		b := statushistory.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source()).Unit(p.unit).Span(p.span()).Height(height + height/2).
			Min(0).Max(1).Thresholds(fullness()).ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds))
		for _, t := range p.targets() {
			b.WithTarget(t)
		}
		return b
	default:
		b := timeseries.NewPanelBuilder().Title(p.title).Description(p.description).Datasource(source()).Unit(p.unit).Span(p.span()).Height(height).Min(0).
			Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true))
		if p.kind == areas {
			b.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).FillOpacity(30)
		}
		for _, t := range p.targets() {
			b.WithTarget(t)
		}
		return b
	}
}

// Selectors of what was chosen.
const (
	inCluster = `cluster=~"$cluster"`
	onHosts   = inCluster + `,node=~"$node"`
	byProfile = inCluster + `,profile=~"$profile"`
	oneVM     = inCluster + `,namespace=~"$namespace",name="$name"`
)

// quantiles are three of a histogram over each interval.
func quantiles(metric, selector string) []query {
	var out []query
	for _, q := range []float64{0.5, 0.9, 0.99} {
		text := strconv.FormatFloat(q, 'g', -1, 64)
		out = append(out, query{
			"histogram_quantile(" + text + ", sum by (le) (rate(" + metric + "_bucket{" + selector + "}[$__rate_interval])))",
			"p" + strings.TrimPrefix(strconv.FormatFloat(q*100, 'g', -1, 64), "0"),
		})
	}
	return out
}

// rate is how much of a counter comes in a second, summed by labels.
func rate(metric, selector, by string) string {
	sum := "sum(rate("
	if by != "" {
		sum = "sum by (" + by + ") (rate("
	}
	return sum + metric + "{" + selector + "}[$__rate_interval]))"
}
