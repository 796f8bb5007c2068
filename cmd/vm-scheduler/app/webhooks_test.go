package app

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/explain"
)

type answers struct{}

func (answers) Review(context.Context, *v1alpha1.VirtualMachine, *v1alpha1.PlacementReviewSpec) (*v1alpha1.PlacementReviewStatus, error) {
	return &v1alpha1.PlacementReviewStatus{}, nil
}

func TestNobodyIsAskedBeforeAllIsRead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		read := make(chan error)
		o := newOnceSynced(t.Context(), func(context.Context) error { return <-read }, answers{})
		if _, err := o.Review(t.Context(), nil, nil); !errors.Is(err, explain.ErrNotReady) {
			t.Errorf("answered with %v before anything was read", err)
		}
		read <- nil
		synctest.Wait()
		if _, err := o.Review(t.Context(), nil, nil); err != nil {
			t.Error(err)
		}
	})
}
