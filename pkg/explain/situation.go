package explain

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/klog/v2"
	fwk "k8s.io/kube-scheduler/framework"
	internalcache "k8s.io/kubernetes/pkg/scheduler/backend/cache"
)

// situation is what plugins see: the hosts as a snapshot has them, but for those
// that are put in the place of one. Not safe for concurrent changes.
type situation struct {
	base *internalcache.Snapshot
	// nodes are all, in the order of the snapshot; at is the index of each name.
	nodes []fwk.NodeInfo
	at    map[string]int
	// replaced says that the snapshot's own lists are not good any more.
	replaced bool
}

var (
	_ fwk.SharedLister   = &situation{}
	_ fwk.NodeInfoLister = &situation{}
)

func newSituation() *situation { return &situation{base: internalcache.NewEmptySnapshot()} }

// reset takes over the snapshot as it is.
func (s *situation) reset() {
	// A list in memory is always there.
	nodes, _ := s.base.NodeInfos().List()
	s.nodes, s.replaced = append(s.nodes[:0], nodes...), false
	s.at = make(map[string]int, len(nodes))
	for i, node := range nodes {
		s.at[node.Node().Name] = i
	}
}

// put has the host at an index be another.
func (s *situation) put(i int, node fwk.NodeInfo) {
	s.nodes[i], s.replaced = node, true
}

// without takes the Pod off the named node, if it is there.
func (s *situation) without(pod *corev1.Pod, name string) error {
	i, ok := s.at[name]
	if !ok {
		return nil
	}
	for _, info := range s.nodes[i].GetPods() {
		if info.GetPod().UID != pod.UID {
			continue
		}
		node := s.nodes[i].Snapshot()
		if err := node.RemovePod(klog.Background(), info.GetPod()); err != nil {
			return fmt.Errorf("looking at host %s without the VM: %w", name, err)
		}
		s.put(i, node)
		return nil
	}
	return nil
}

// NodeInfos implements framework.SharedLister.
func (s *situation) NodeInfos() fwk.NodeInfoLister { return s }

// StorageInfos implements framework.SharedLister.
func (s *situation) StorageInfos() fwk.StorageInfoLister { return s.base.StorageInfos() }

// PodGroupStates implements framework.SharedLister.
func (s *situation) PodGroupStates() fwk.PodGroupStateLister { return s.base.PodGroupStates() }

// PodGroups implements framework.SharedLister.
func (s *situation) PodGroups() fwk.PodGroupLister { return s.base.PodGroups() }

// CompositePodGroupStates implements framework.SharedLister.
func (s *situation) CompositePodGroupStates() fwk.CompositePodGroupStateLister {
	return s.base.CompositePodGroupStates()
}

// CompositePodGroups implements framework.SharedLister.
func (s *situation) CompositePodGroups() fwk.CompositePodGroupLister {
	return s.base.CompositePodGroups()
}

// List implements framework.NodeInfoLister.
func (s *situation) List() ([]fwk.NodeInfo, error) { return s.nodes, nil }

// Get implements framework.NodeInfoLister.
func (s *situation) Get(name string) (fwk.NodeInfo, error) {
	if i, ok := s.at[name]; ok {
		return s.nodes[i], nil
	}
	return s.base.Get(name) // says that there is none
}

// HavePodsWithAffinityList implements framework.NodeInfoLister.
func (s *situation) HavePodsWithAffinityList() ([]fwk.NodeInfo, error) {
	if !s.replaced {
		return s.base.HavePodsWithAffinityList()
	}
	return s.with(fwk.NodeInfo.GetPodsWithAffinity), nil
}

// HavePodsWithRequiredAntiAffinityList implements framework.NodeInfoLister.
func (s *situation) HavePodsWithRequiredAntiAffinityList() ([]fwk.NodeInfo, error) {
	if !s.replaced {
		return s.base.HavePodsWithRequiredAntiAffinityList()
	}
	return s.with(fwk.NodeInfo.GetPodsWithRequiredAntiAffinity), nil
}

// HavePodsWithRequiredNonHostScopedAntiAffinityList implements
// framework.NodeInfoLister.
func (s *situation) HavePodsWithRequiredNonHostScopedAntiAffinityList() ([]fwk.NodeInfo, error) {
	if !s.replaced {
		return s.base.HavePodsWithRequiredNonHostScopedAntiAffinityList()
	}
	return s.with(fwk.NodeInfo.GetPodsWithRequiredNonHostScopedAntiAffinity), nil
}

// with are the nodes with some Pods of a kind.
func (s *situation) with(kind func(fwk.NodeInfo) []fwk.PodInfo) []fwk.NodeInfo {
	var out []fwk.NodeInfo
	for _, node := range s.nodes {
		if len(kind(node)) > 0 {
			out = append(out, node)
		}
	}
	return out
}
