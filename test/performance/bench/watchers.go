package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
)

// How executors could watch.
const (
	byField = "field" // VMs of all namespaces that are bound to a host
	byName  = "name"  // one VM by its name
)

type watchersOptions struct {
	counts        []int
	writes, pairs int
	assets        string
}

// newWatchersCommand measures what executors' watches cost the API server.
func newWatchersCommand() *cobra.Command {
	o := &watchersOptions{}
	cmd := &cobra.Command{
		Use: "watchers", Short: "Measure what the watches of many executors cost the API server for each binding", Args: cobra.NoArgs, SilenceUsage: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.run(cmd.Context(), cmd.OutOrStdout()) },
	}
	cmd.Flags().IntSliceVar(&o.counts, "watchers", []int{1000, 5000}, "numbers of watches")
	cmd.Flags().IntVar(&o.writes, "writes", 1000, "bindings written in each round")
	cmd.Flags().IntVar(&o.pairs, "rounds", 3, "rounds of each kind, in turns; the median is said")
	cmd.Flags().StringVar(&o.assets, "assets", "bin/tools", "folder of etcd and kube-apiserver")
	return cmd
}

func (o *watchersOptions) run(ctx context.Context, out io.Writer) error {
	p, err := startPlane(ctx, o.assets)
	if err != nil {
		return err
	}
	defer func() { _ = p.stop() }()
	machine, err := describeMachine()
	if err != nil {
		return err
	}
	_, _ = fmt.Fprintf(out, "%s.\n\n| watches | by | API server ms for each binding | events received for each | API server MiB |\n|--:|---|--:|--:|--:|\n", machine)
	for _, n := range append([]int{0}, o.counts...) {
		for _, by := range []string{byField, byName} {
			if n == 0 && by == byName {
				continue
			}
			var rounds []*watchRound
			for range o.pairs {
				r, err := p.watchRound(ctx, n, by, o.writes)
				if err != nil {
					return err
				}
				rounds = append(rounds, r)
			}
			mid := func(of func(*watchRound) float64) float64 {
				values := make([]float64, len(rounds))
				for i, r := range rounds {
					values[i] = of(r)
				}
				return medianOf(values)
			}
			_, _ = fmt.Fprintf(out, "| %d | %s | %.2f | %.2f | %.0f |\n", n, by, mid(func(r *watchRound) float64 { return r.millis }),
				mid(func(r *watchRound) float64 { return r.events }), mid(func(r *watchRound) float64 { return r.peak }))
		}
	}
	return nil
}

type watchRound struct{ millis, events, peak float64 }

// watchRound opens n watches, writes bindings, and returns what each cost.
func (p *plane) watchRound(ctx context.Context, n int, by string, writes int) (*watchRound, error) {
	sh := shapes["plain"]
	if _, err := p.createAll(ctx, domus, &sh, writes); err != nil {
		return nil, err
	}
	list := &v1alpha1.VirtualMachineList{}
	if err := p.client.List(ctx, list, client.InNamespace(namespace)); err != nil {
		return nil, fmt.Errorf("listing VMs: %w", err)
	}
	wctx, cancel := context.WithCancel(ctx)
	received, watching, err := p.openWatches(wctx, n, by, list.ResourceVersion)
	defer func() { cancel(); watching.Wait() }()
	if err != nil {
		return nil, err
	}
	time.Sleep(time.Second)
	if err := p.api.forgetPeak(); err != nil {
		return nil, err
	}
	before, err := p.api.cpuSeconds()
	if err != nil {
		return nil, err
	}
	eventsBefore := received.Load()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(8)
	for i := range list.Items {
		g.Go(func() error {
			vm := list.Items[i].DeepCopy()
			vm.Status.Phase = v1alpha1.PhaseScheduled
			vm.Status.Placement = &v1alpha1.Placement{NodeName: hostName(i % max(n, 1)), Granted: v1alpha1.GrantedResources{CPU: sh.cpu, Memory: sh.memory.Value()}}
			if err := p.client.Status().Update(gctx, vm); err != nil {
				return fmt.Errorf("binding: %w", err)
			}
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	time.Sleep(2 * time.Second)
	after, err := p.api.cpuSeconds()
	if err != nil {
		return nil, err
	}
	peak, err := p.api.peakMiB()
	if err != nil {
		return nil, err
	}
	r := &watchRound{millis: (after - before) * 1000 / float64(writes), events: float64(received.Load()-eventsBefore) / float64(writes), peak: peak}
	cancel()
	watching.Wait()
	return r, p.clean(ctx)
}

// openWatches opens n watches and returns how many events they have received,
// and what ends when all of them have.
func (p *plane) openWatches(ctx context.Context, n int, by, version string) (*atomic.Int64, *sync.WaitGroup, error) {
	received, watching := &atomic.Int64{}, &sync.WaitGroup{}
	c, err := rest.HTTPClientFor(p.rest)
	if err != nil {
		return received, watching, fmt.Errorf("making a client: %w", err)
	}
	base := strings.TrimSuffix(p.rest.Host, "/") + "/apis/" + v1alpha1.GroupVersion.String()
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(writersAtUp)
	for i := range n {
		g.Go(func() error {
			path, selector := "/virtualmachines", "status.placement.nodeName="+hostName(i)
			if by == byName {
				path, selector = "/namespaces/"+namespace+"/virtualmachines", "metadata.name="+name(i, false)
			}
			query := url.Values{"watch": {"true"}, "resourceVersion": {version}, "fieldSelector": {selector}}
			// The watch goes on after this group of openings has ended.
			req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path+"?"+query.Encode(), nil)
			if err != nil {
				return fmt.Errorf("watching: %w", err)
			}
			res, err := c.Do(req)
			if err != nil {
				return fmt.Errorf("watching: %w", err)
			}
			if res.StatusCode != http.StatusOK {
				_ = res.Body.Close()
				return fmt.Errorf("watching: %s", res.Status)
			}
			watching.Go(func() {
				defer func() { _ = res.Body.Close() }()
				lines := bufio.NewScanner(res.Body)
				lines.Buffer(make([]byte, 0, 4<<10), v1alpha1.MaxDocumentBytes*2)
				for lines.Scan() {
					received.Add(1)
				}
			})
			return gctx.Err()
		})
	}
	return received, watching, g.Wait()
}
