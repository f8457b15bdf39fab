# shellcheck shell=bash disable=SC2034
# Shared by the scripts beside it: where things are, which processes are ours, and how binaries are built.

HERE=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
CACHE=${XDG_CACHE_HOME:-$HOME/.cache}/warren-cluster # binaries and image tars; kept
BIN=$CACHE/bin
mkdir -p "$BIN" "$CACHE/images"

say() { printf 'cluster: %s\n' "$*" >&2; }
die() { say "$*"; exit 1; }

# The whole cluster, or --control-plane-only: an API server with its store and controllers, which needs neither root
# nor the network, and runs beside the whole cluster without touching it.
case ${1:-} in
  '')
    CONTROL_PLANE_ONLY=
    STATE=${WARREN_CLUSTER_STATE:-/var/lib/warren-cluster} # everything that runs; gone after down
    LOCK=/run/lock/warren-cluster
    API_PORT=6443 ETCD_PORT=22379
    DAEMONS=(etcd containerd kube-apiserver kube-controller-manager kube-scheduler kubelet kube-proxy)
    ;;
  --control-plane-only)
    CONTROL_PLANE_ONLY=1
    STATE=${WARREN_CONTROL_PLANE_STATE:-/tmp/warren-control-plane.$(id -u)}
    LOCK=$CACHE/control-plane.lock
    API_PORT=${WARREN_CONTROL_PLANE_PORT:-6444} ETCD_PORT=$((${WARREN_CONTROL_PLANE_PORT:-6444} + 16000))
    DAEMONS=(etcd kube-apiserver kube-controller-manager)
    ;;
  *) die "$1: unknown; there is only --control-plane-only" ;;
esac

RUN=$STATE/run
LOGS=$STATE/logs
PKI=$STATE/pki
SOCK=$STATE/containerd.sock
KUBECONFIG_ADMIN=$STATE/kubeconfig

BRIDGE=warren0
NODE=warren
NODE_IP=10.88.0.1 # the bridge's own address: the node, the API server and the Pods' gateway
POD_CIDR=10.88.0.0/16
SVC_CIDR=10.96.0.0/16
DNS_IP=10.96.0.10

# What kubelet and up set; the values from before come back at down.
SYSCTLS=(net.ipv4.ip_forward net.ipv4.conf.all.send_redirects net.bridge.bridge-nf-call-iptables
  vm.overcommit_memory vm.panic_on_oom kernel.panic kernel.panic_on_oops
  kernel.keys.root_maxkeys kernel.keys.root_maxbytes)

# Only one up or down at a time.
lock() {
  exec 9>"$LOCK"
  flock 9
}

needs_root() { [ -n "$CONTROL_PLANE_ONLY" ] || [ "$(id -u)" = 0 ] || die "needs root; without it, there is --control-plane-only"; }

# The start time tells a process from a later one that was given the same id; a
# zombie (the machine's first process may be slow to reap) counts as none.
start_time() { sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | awk '$1 !~ /[ZX]/ {print $20}'; }

# pid_of NAME: the id of our daemon NAME if it still runs.
pid_of() {
  local pid started
  [ -s "$RUN/$1.pid" ] || return 1
  read -r pid started <"$RUN/$1.pid"
  [ -n "$started" ] && [ "$(start_time "$pid")" = "$started" ] && echo "$pid"
}

# The processes in Pods' cgroups (version 1 or 2). While our cluster runs they are its own: up refuses beside another.
pod_processes() {
  find /sys/fs/cgroup/pids/kubepods* /sys/fs/cgroup/kubepods* -name cgroup.procs -exec cat {} + 2>/dev/null || true
}

# await SECONDS WHAT COMMAND...: until COMMAND succeeds.
await() {
  local end=$((SECONDS + $1)) what=$2
  shift 2
  until "$@" >/dev/null 2>&1; do
    [ $SECONDS -lt $end ] || die "gave up waiting for $what; logs are in $LOGS"
    sleep 0.2
  done
}

# build FOLDER ARGS...: go build in FOLDER, unless done from these very sources by this very Go.
build() {
  local folder=$1 name sum t=$SECONDS
  name=$(basename "$folder")
  shift
  command -v go >/dev/null || die "needs Go 1.26.8 or later: https://go.dev/dl"
  sum=$( (cd "$folder" && cat go.mod go.sum ./*.go 2>/dev/null; go version; echo "$@") | sha256sum)
  [ "$(cat "$CACHE/$name.sum" 2>/dev/null)" = "$sum" ] && return
  say "building $name (minutes, once)"
  (cd "$folder" && CGO_ENABLED=0 GOFLAGS='-buildvcs=false' go build -mod=readonly -trimpath "$@") || die "building $name failed"
  echo "$sum" >"$CACHE/$name.sum"
  say "built $name in $((SECONDS - t)) s"
}
