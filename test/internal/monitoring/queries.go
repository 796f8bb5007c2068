// Package monitoring reads what is asked of Prometheus: the dashboards' queries and
// the rules.
package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
	"sigs.k8s.io/yaml"
)

// Query is one question to Prometheus.
type Query struct {
	// Where says which dashboard and panel, or which rule, it is from.
	Where, Expr string
}

// Dashboards reads the queries of the dashboards in a folder, variables' too.
func Dashboards(dir string) ([]Query, error) {
	files, err := filepath.Glob(filepath.Join(dir, "*.json"))
	if err != nil || len(files) == 0 {
		return nil, fmt.Errorf("reading dashboards: there is none in %s (%w)", dir, err)
	}
	var out []Query
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("reading dashboards: %w", err)
		}
		var d dashboard
		if err := json.Unmarshal(data, &d); err != nil {
			return nil, fmt.Errorf("reading dashboard %s: %w", file, err)
		}
		for _, p := range d.Panels {
			for _, q := range append([]panel{p}, p.Panels...) {
				for _, t := range q.Targets {
					out = append(out, Query{d.Title + ": " + q.Title, t.Expr})
				}
			}
		}
		for _, v := range d.Templating.List {
			// label_values(METRIC, label)
			of, is := strings.CutPrefix(v.Definition, "label_values(")
			if at := strings.LastIndex(of, ","); is && at > 0 {
				out = append(out, Query{d.Title + ": variable " + v.Name, of[:at]})
			}
		}
	}
	return out, nil
}

type (
	dashboard struct {
		Title      string  `json:"title"`
		Panels     []panel `json:"panels"`
		Templating struct {
			List []struct {
				Name       string `json:"name"`
				Definition string `json:"definition"`
			} `json:"list"`
		} `json:"templating"`
	}
	panel struct {
		Title   string `json:"title"`
		Targets []struct {
			Expr string `json:"expr"`
		} `json:"targets"`
		// Panels are those of a row that is folded.
		Panels []panel `json:"panels"`
	}
)

// Rule is a recording rule or an alert.
type Rule struct {
	Record      string            `json:"record"`
	Alert       string            `json:"alert"`
	Expr        string            `json:"expr"`
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
}

// Name is what it records, or how the alert is called.
func (r *Rule) Name() string { return r.Record + r.Alert }

// Rules reads the rules in a folder: *.rules.yaml and *.alerts.yaml.
func Rules(dir string) ([]Rule, error) {
	var out []Rule
	for _, pattern := range []string{"*.rules.yaml", "*.alerts.yaml"} {
		files, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(files) == 0 {
			return nil, fmt.Errorf("reading rules: there is no %s in %s (%w)", pattern, dir, err)
		}
		for _, file := range files {
			data, err := os.ReadFile(file)
			if err != nil {
				return nil, fmt.Errorf("reading rules: %w", err)
			}
			var groups struct {
				Groups []struct {
					Rules []Rule `json:"rules"`
				} `json:"groups"`
			}
			if err := yaml.Unmarshal(data, &groups); err != nil {
				return nil, fmt.Errorf("reading rules %s: %w", file, err)
			}
			for _, g := range groups.Groups {
				out = append(out, g.Rules...)
			}
		}
	}
	return out, nil
}

// Concrete puts values in the place of a dashboard's variables: any value, and of
// the variable name the VM's.
func Concrete(expr, vm string) string {
	return strings.NewReplacer(
		`"$name"`, `"`+vm+`"`, "$cluster", ".*", "$namespace", ".*", "$node", ".*", "$profile", ".*",
		"$__rate_interval", "1m", "$__range", "5m",
	).Replace(expr)
}

// Selector is one metric that a query asks for.
type Selector struct {
	Metric string
	// Labels are those that it selects by.
	Labels []string
}

// Selectors reads which metrics a query without variables asks for.
func Selectors(expr string) ([]Selector, error) {
	parsed, err := parser.ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("parsing %s: %w", expr, err)
	}
	var out []Selector
	parser.Inspect(parsed, func(node parser.Node, _ []parser.Node) error {
		if v, is := node.(*parser.VectorSelector); is {
			s := Selector{Metric: v.Name}
			for _, m := range v.LabelMatchers {
				if m.Name != model.MetricNameLabel && !slices.Contains(s.Labels, m.Name) {
					s.Labels = append(s.Labels, m.Name)
				}
			}
			out = append(out, s)
		}
		return nil
	})
	return out, nil
}
