package main

import (
	"path/filepath"
	"strings"
	"testing"
)

// What is published holds what is claimed.
func TestResultsAreWithinWhatIsClaimed(t *testing.T) {
	all, err := load(filepath.Join("..", "results", "results.json"))
	if err != nil {
		t.Fatal(err)
	}
	if len(all.Runs) == 0 {
		t.Fatal("there are no results")
	}
	if err := check(all.Runs); err != nil {
		t.Error(err)
	}
}

func TestEveryShapeHasAClaim(t *testing.T) {
	for _, name := range shapeNames() {
		if claims[name] == (claim{}) {
			t.Errorf("nothing is claimed of shape %s", name)
		}
	}
}

func TestWhatFallsShortIsSaid(t *testing.T) {
	slow := Result{Shape: "plain", Mode: modeBacklog, Nodes: 10, Workloads: 20, Ratio: .1, APIWritesPerVM: 1}
	err := check([]Result{slow})
	if err == nil || !strings.Contains(err.Error(), "plain (backlog) on 10 nodes with 20 workloads: ratio 0.10, claimed is at least") {
		t.Errorf("error %v", err)
	}
	talkative := Result{Shape: "plain", Mode: modeSteady, Ratio: 1, APIWritesPerVM: 3}
	if err := check([]Result{talkative}); err == nil || !strings.Contains(err.Error(), "3.00 writes for each VM") {
		t.Errorf("error %v", err)
	}
}
