package cni

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestToAttach(t *testing.T) {
	anew := []step{stepIntend, stepSpace, stepAdd, stepWire, stepSettle, stepServe}
	again := append([]step{stepRelease}, anew...)
	asked := Attachment{Network: "pods", MAC: "52:54:00:00:00:01"}
	settled := func(change func(*record)) situation {
		r := &record{Attachment: asked, Settled: true}
		if change != nil {
			change(r)
		}
		return situation{record: r, card: &view{}}
	}
	gone := settled(nil)
	gone.card = nil
	for name, c := range map[string]struct {
		in   situation
		want []step
	}{
		"nothing was begun":                      {situation{}, anew},
		"a card of nobody's is no card":          {situation{card: &view{}}, anew},
		"all is there":                           {settled(nil), []step{stepWire, stepServe}},
		"making or removing it was cut short":    {settled(func(r *record) { r.Settled = false }), again},
		"the host was rebooted":                  {gone, again},
		"another network":                        {settled(func(r *record) { r.Attachment.Network = "lan" }), again},
		"another address":                        {settled(func(r *record) { r.Attachment.MAC = "" }), again},
		"the same address in capitals":           {settled(func(r *record) { r.Attachment.MAC = "52:54:00:00:00:01" }), []step{stepWire, stepServe}},
		"more queues":                            {settled(func(r *record) { r.Attachment.Queues = 4 }), again},
		"one queue is what there is by default":  {settled(func(r *record) { r.Attachment.Queues = 1 }), []step{stepWire, stepServe}},
		"another host name needs no other card":  {settled(func(r *record) { r.Attachment.Hostname = "old" }), []step{stepWire, stepServe}},
		"the VM is called so in another cluster": {settled(func(r *record) { r.Attachment.Name = "old" }), []step{stepWire, stepServe}},
	} {
		if diff := cmp.Diff(c.want, toAttach(asked, c.in)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestToDetachAndToResume(t *testing.T) {
	half := situation{record: &record{}, card: &view{}}
	whole := situation{record: &record{Settled: true}, card: &view{}}
	gone := situation{record: &record{Settled: true}}
	for name, c := range map[string]struct{ got, want []step }{
		"detach: nothing was begun":    {toDetach(situation{}), nil},
		"detach: half":                 {toDetach(half), []step{stepRelease, stepStrike}},
		"detach: after a reboot":       {toDetach(gone), []step{stepRelease, stepStrike}},
		"resume: nothing":              {toResume(situation{}), nil},
		"resume: whole":                {toResume(whole), []step{stepWire, stepServe}},
		"resume: half waits for a use": {toResume(half), nil},
		"resume: gone waits for a use": {toResume(gone), nil},
	} {
		if diff := cmp.Diff(c.want, c.got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
