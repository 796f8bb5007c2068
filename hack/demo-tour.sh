#!/usr/bin/env bash
# Shows what the demo has placed and what to try next: demo-tour.sh KUBECTL DIR
set -euo pipefail

kubectl=${1:?usage: demo-tour.sh KUBECTL DIR}
dir=$(readlink -f "${2:?usage: demo-tour.sh KUBECTL DIR}")
export KUBECONFIG=$dir/kubeconfig

echo
"$kubectl" get virtualmachines --all-namespaces -o wide
echo
echo "Pods:"
"$kubectl" get pods --all-namespaces
cat <<TOUR

It runs until 'make demo-down'. What to try next:
  export KUBECONFIG=$KUBECONFIG
  kubectl get hypervisors                       the hosts and what they have
  kubectl describe vm -n demo guest-1           one VM, its placement and events
  bin/virtctl explain -n demo guest-1           why it is where it is
  bin/virtctl fit --cpu 4 --memory 8Gi          how many more fit
  tail $dir/logs/consoles/demo_guest-1.log      what the guest says
  bin/domus-dev status                          the processes
  bin/domus-dev audit                           every write, and no pod among them
TOUR
