# Daemons: started into a tracking cgroup, recorded as "pid start-time", ended by that record alone.
# shellcheck shell=bash

# The hierarchy whose membership tells what is ours: pids on cgroup v1, the only one on v2.
tracking_root() { if [[ -d /sys/fs/cgroup/pids ]]; then echo /sys/fs/cgroup/pids; else echo /sys/fs/cgroup; fi; }
TRACK=$(tracking_root)/$CGROUP

# start_time PID: field 22 of its stat, empty when there is no such (live) process.
start_time() {
  local stat fields
  { stat=$(<"/proc/$1/stat"); } 2>/dev/null || return 0
  read -ra fields <<<"${stat##*) }"
  [[ ${fields[0]} == Z ]] || echo "${fields[19]}"
}

# recorded NAME: prints its pid when the recorded process still lives.
recorded() {
  local pid started
  [[ -e $PIDS/$1 ]] && read -r pid started <"$PIDS/$1" || return 1
  [[ -n $started && $(start_time "$pid") == "$started" ]] && echo "$pid"
}

# start NAME NODE CMD...: in the network namespace of NODE; nothing if it runs already.
start() {
  local name=$1 node=$2 pid
  shift 2
  ! recorded "$name" >/dev/null || return 0
  (
    exec </dev/null >>"$LOGS/$name.log" 2>&1 8>&- 9>&- # never keep a lock of ours open
    echo "$BASHPID" >"$TRACK/daemons/cgroup.procs"
    # nsenter, not "ip netns exec": that one mounts a new /sys and hides the cgroups.
    exec setsid nsenter --net="$(netns_file "$node")" -- "$@"
  ) &
  pid=$!
  disown "$pid"
  echo "$pid $(start_time "$pid")" >"$PIDS/$name"
}

# stop NAME...: TERM, and KILL after 2 seconds: nothing of the state is needed any more.
stop() {
  local name pid deadline
  for name; do
    if pid=$(recorded "$name"); then kill "$pid" 2>/dev/null || true; fi
  done
  deadline=$(($(now_ms) + 2000))
  for name; do
    while pid=$(recorded "$name"); do
      (($(now_ms) < deadline)) || kill -KILL "$pid" 2>/dev/null || true
      sleep 0.05
    done
    rm -f "$PIDS/$name"
  done
}

# tracked: pids in our cgroups: daemons, shims and containers.
tracked() { find "$TRACK" -name cgroup.procs -exec cat {} + 2>/dev/null || true; }

# Ends what the records don't know: shims, containers, children of a daemon that was killed.
kill_tracked() {
  local i pids
  for ((i = 0; i < 50; i++)); do
    mapfile -t pids < <(tracked)
    ((${#pids[@]})) || return 0
    kill -KILL "${pids[@]}" 2>/dev/null || true
    sleep 0.1
  done
  warn "still running: ${pids[*]}"
}

component_names() {
  local n
  printf '%s\n' etcd kube-apiserver kube-controller-manager kube-scheduler volume-modes
  for ((n = 1; n <= $(<"$STATE/nodes"); n++)); do printf '%s\n' "containerd-node$n" "kubelet-node$n" "kube-proxy-node$n"; done
}
