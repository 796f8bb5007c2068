package cluster

import (
	"fmt"
	"os"
	"strconv"

	"domus.dev/domus/cmd/domus-dev/internal/component"
	"domus.dev/domus/cmd/domus-dev/internal/pki"
)

// certify makes what the components prove themselves with. Each has an
// identity of its own with the rights that the manifests give its group; only
// the user's kubeconfig is an administrator's.
func (u *upper) certify() error {
	dir := u.Layout.PKI()
	etcd, err := pki.EnsureAuthority(dir, "etcd-ca")
	if err != nil {
		return err
	}
	cluster, err := pki.EnsureAuthority(dir, "cluster-ca")
	if err != nil {
		return err
	}
	frontProxy, err := pki.EnsureAuthority(dir, "front-proxy-ca")
	if err != nil {
		return err
	}
	f := &u.build.Files
	f.FrontProxyCA = frontProxy.CertFile()
	f.EtcdCA, f.ClusterCA = etcd.CertFile(), cluster.CertFile()
	if f.EtcdCert, f.EtcdKey, err = etcd.EnsureServer("etcd"); err != nil {
		return err
	}
	if f.EtcdClientCert, f.EtcdClientKey, err = etcd.EnsureClient("kube-apiserver-etcd-client"); err != nil {
		return err
	}
	if f.APIServerCert, f.APIServerKey, err = cluster.EnsureServer("kube-apiserver"); err != nil {
		return err
	}
	if f.ServiceAccountKey, err = pki.EnsureServiceAccountKey(dir); err != nil {
		return err
	}

	server := u.state.Ports.APIServerURL()
	kubeconfigs := map[string]pki.Identity{
		u.Layout.AdminKubeconfig():               {User: "domus:admin", Group: "system:masters"},
		u.Layout.Kubeconfig(component.Scheduler): {User: "domus:scheduler", Group: "domus:schedulers"},
	}
	for _, node := range u.nodes() {
		kubeconfigs[u.Layout.Kubeconfig(component.ExecutorName(node))] = pki.Identity{User: "domus:executor:" + node, Group: "domus:executors"}
	}
	for path, id := range kubeconfigs {
		if err := cluster.EnsureKubeconfig(path, server, id); err != nil {
			return err
		}
	}
	if err := ownedBySudoUser(u.Layout.AdminKubeconfig()); err != nil {
		return fmt.Errorf("giving you the kubeconfig: %w", err)
	}
	return nil
}

// ownedBySudoUser gives the file to who called sudo, who wants to read it.
func ownedBySudoUser(path string) error {
	uid, err := strconv.Atoi(os.Getenv("SUDO_UID"))
	if err != nil || os.Geteuid() != 0 {
		return nil
	}
	gid, err := strconv.Atoi(os.Getenv("SUDO_GID"))
	if err != nil {
		return nil
	}
	return os.Chown(path, uid, gid)
}
