package executor

import (
	"context"
	"errors"
	"net/http"
	"time"

	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"domus.dev/domus/pkg/api/v1alpha1"
	"domus.dev/domus/pkg/executor/hostconfig"
	"domus.dev/domus/pkg/executor/tickets"
	"domus.dev/domus/pkg/executor/transfer"
)

// listen begins to listen for transfers; nil where the configuration has none.
func listen(config *hostconfig.HostConfiguration) (*transfer.Server, error) {
	if config.Transfer == nil {
		return nil, nil
	}
	identity, err := transfer.NewIdentity(config.NodeName, time.Now())
	if err != nil {
		return nil, err
	}
	return transfer.Listen(identity, config.Transfer.BindAddress, config.Transfer.AdvertiseAddress)
}

// peers are the other hosts for one that exchanges volumes with them.
func peers(live client.Reader, server *transfer.Server) *transfer.Peers {
	return &transfer.Peers{Live: live, Identity: server.Identity}
}

// exchange exchanges bytes of volumes with other hosts and with bearers of tickets,
// where the host is configured to, until ctx ends.
func (a *Agent) exchange(ctx context.Context) {
	if a.transfer == nil {
		return
	}
	a.transfer.Handle(a.volumes.Incoming())
	a.transfer.Handle(a.images.Outgoing())
	a.transfer.Handle(tickets.Pattern, http.HandlerFunc(a.serveTicket))
	if err := a.transfer.Serve(ctx); err != nil {
		klog.FromContext(ctx).Error(err, "Volumes are not exchanged any more")
	}
}

// followTickets looks after the tickets for this host.
func (a *Agent) followTickets(ctx context.Context) {
	if a.tickets != nil {
		a.tickets.Run(ctx)
	}
}

// serveTicket does for the bearer of a ticket what that says.
func (a *Agent) serveTicket(w http.ResponseWriter, r *http.Request) {
	ticket, err := a.tickets.Shown(r)
	switch {
	case errors.Is(err, tickets.ErrNotGood):
		http.Error(w, err.Error(), http.StatusUnauthorized)
	case err != nil:
		klog.FromContext(r.Context()).Info("A ticket could not be looked at", keyError, err.Error())
		http.Error(w, "the ticket could not be looked at: try again", http.StatusServiceUnavailable)
	case ticket.Spec.DiskExport != nil:
		disk := client.ObjectKey{Namespace: ticket.Namespace, Name: ticket.Spec.DiskExport.DiskName}
		a.volumes.Export(w, r, disk, ticket.Spec.DiskExport.Format)
	case ticket.Spec.ImageUpload != nil:
		a.images.Upload(w, r, client.ObjectKey{Namespace: ticket.Namespace, Name: ticket.Spec.ImageUpload.ImageName})
	default:
		http.Error(w, "the ticket is for what this vm-executor does not know", http.StatusNotImplemented)
	}
}

// transferAt is what to say in the Hypervisor of where that is done.
func (a *Agent) transferAt() *v1alpha1.HostTransfer {
	if a.transfer == nil {
		return nil
	}
	return &v1alpha1.HostTransfer{Address: a.transfer.Address, Certificate: a.transfer.Identity.PEM}
}
