#!/usr/bin/env bash
# A sweep on a real SLURM of this one host: a job is preempted in mid-stack, requeued, and goes on.
#
#   benchmarks/clusters/slurm.sh [epochs of the sweep, default 300] | tee benchmarks/results/slurm_DATE.txt
#
# Needs root and, from Debian, slurmctld slurmd slurm-client munge slurm-wlm-basic-plugins; no
# systemd. Two nodes of one CPU (two slurmd), partition `high` preempts `low` by requeue. Workers
# know the tracking store by its URL only. An epoch must not be too short: the preempted job must
# not have ended yet. Everything lies in a temporary folder, and everything is stopped at the end.
# The exit status is 0 if the sweep on SLURM left what the same one leaves in one process.
set -euo pipefail
cd "$(dirname "$0")/../.."

epochs=${1:-300}
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
python=$(realpath -s "$python")
folder=$(mktemp -d /tmp/credit-slurm-XXXXXX)
mkdir "$folder"/{spool,jobs,server,one}
chmod 755 "$folder"
daemons=()

say() { printf '\n[%s] %s\n' "$(date +%T)" "$*"; }
fail() { say "FAILED: $*"; tail -n 20 "$folder"/*.log "$folder"/*.out 2> /dev/null; exit 1; }
start() { # name, command ...: a daemon of its own process group, in the background
    setsid "${@:2}" > "$folder/$1.log" 2>&1 &
    daemons+=($!)
}
stop() {
    status=$?
    if [ -e "$folder/slurm.conf" ]; then scancel --me 2> /dev/null || true; fi
    [ -z "${sweeping:-}" ] || kill "$sweeping" 2> /dev/null || true
    for _ in $(seq 30); do [ -n "$(squeue --noheader 2> /dev/null)" ] || break; sleep 1; done
    for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do
        kill -TERM -- "-${daemons[i]}" 2> /dev/null || true
    done
    wait
    if [ $status = 0 ]; then rm -rf "$folder"; else echo "left for you to look at: $folder"; fi
}
trap stop EXIT
until_true() { # seconds, what, command ...
    local end=$((SECONDS + $1))
    until "${@:3}" > /dev/null 2>&1; do
        [ $SECONDS -lt $end ] || fail "waited $1 s for: $2"
        [ -z "${sweeping:-}" ] || kill -0 "$sweeping" || fail "the sweep ended before: $2"
        sleep 1
    done
}
ladder=("$python" -m entrypoints.ladder --preset quick --dataset digits --rules bp,dfa --ks 0,4
    --width 32 --measure_every 10 --device cpu)
on_slurm=("${ladder[@]}" --launcher slurm --slurm_partition low --worker_memory_gb 2 --checkpoints "$folder/shared")
histories() { "$python" -m benchmarks.clusters.histories "$@"; }

export MLFLOW_DISABLE_TELEMETRY=true MLFLOW_SERVER_ENABLE_JOB_EXECUTION=false
export SLURM_CONF="$folder/slurm.conf"
{
    date '+%F %T %Z'
    echo "commit $(git rev-parse --short HEAD)$(git diff --quiet HEAD || echo ', changed')"
    echo "$(nproc) cores, $(sed -n 's/^model name.*: //p' /proc/cpuinfo | sort -u), load" \
        "$(cut -d ' ' -f 1-3 /proc/loadavg)"
    slurmctld -V
    "$python" -c 'import importlib.metadata as m, sys; print("Python", sys.version.split()[0], *(
        f"{n} {m.version(n)}" for n in ("submitit", "mlflow", "torch")))'
}

# ---------------------------------------------------------------- SLURM
dd if=/dev/urandom of="$folder/munge.key" bs=128 count=1 2> /dev/null
chmod 400 "$folder/munge.key"
start munged munged --foreground --force --key-file "$folder/munge.key" --socket \
    "$folder/munge.socket" --pid-file "$folder/munge.pid" --log-file "$folder/munge.text" \
    --seed-file "$folder/munge.seed"
host=$(hostname -s)
cat > "$SLURM_CONF" << END
ClusterName=credit
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
SlurmdUser=root
SlurmctldPort=17000
AuthType=auth/munge
AuthInfo=socket=$folder/munge.socket
StateSaveLocation=$folder/spool
SlurmdSpoolDir=$folder/spool/%n
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/%n.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
ReturnToService=2
KillWait=30
MinJobAge=3600
JobRequeue=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
SlurmctldParameters=preempt_send_user_signal
NodeName=n1 NodeHostname=$host NodeAddr=127.0.0.1 Port=17001 CPUs=1 RealMemory=4000
NodeName=n2 NodeHostname=$host NodeAddr=127.0.0.1 Port=17002 CPUs=1 RealMemory=4000
PartitionName=low Nodes=n1,n2 Default=YES PriorityTier=1 PreemptMode=REQUEUE GraceTime=120 State=UP
PartitionName=high Nodes=n1,n2 PriorityTier=10 PreemptMode=OFF State=UP
END
until_true 30 munged test -S "$folder/munge.socket"
start slurmctld slurmctld -D
start n1 slurmd -D -N n1
start n2 slurmd -D -N n2
idle() { [ "$(sinfo --noheader --Node --partition low --state idle | wc -l)" = 2 ]; }
until_true 60 "two idle nodes" idle
say "SLURM is up"
sinfo --format '%9P %.5a %.6D %.6t %N %p'
scontrol show config | grep -E '^(Preempt|SlurmctldParameters|KillWait)'

# ---------------------------------------------------------------- the tracking server
port=$("$python" -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
start mlflow "$python" -m mlflow server --host 127.0.0.1 --port "$port" --workers 1 \
    --backend-store-uri "sqlite:///$folder/server/store.db" \
    --artifacts-destination "$folder/server/artifacts"
export MLFLOW_TRACKING_URI="http://127.0.0.1:$port"
answers() { "$python" -c "import urllib.request as u; u.urlopen('$MLFLOW_TRACKING_URI/health')"; }
until_true 300 "the tracking server" answers
say "tracking server at $MLFLOW_TRACKING_URI, artifacts served"

# ---------------------------------------------------------------- preemption in mid-stack
say "ladder --epochs $epochs --seeds 1,2,3 --launcher slurm --slurm_partition low"
"${on_slurm[@]}" --epochs "$epochs" --seeds 1,2,3 > "$folder/sweep.out" 2> "$folder/sweep.err.out" &
sweeping=$!
training() { [ "$(histories epochs "$folder/server/store.db")" -ge $((epochs / 3)) ]; }
until_true 600 "jobs in mid-stack" training
squeue --array
say "a job on high: one of them must go"
high=$(sbatch --parsable --partition high --output "$folder/high.text" --wrap "sleep 20")
requeued() { [ -n "$(again)" ]; }
again() { scontrol --oneliner show job | grep 'Restarts=1 ' | sed -E \
    's/.*ArrayJobId=([0-9]+) ArrayTaskId=([0-9]+) .*/\1_\2/' | head -n 1; }
until_true 300 "a requeued job" requeued
job=$(again)
scontrol show job "$job" | grep -oE '(JobId|ArrayTaskId|JobState|Restarts|Reason|StartTime|EligibleTime|PreemptTime)=[^ ]*' | paste -sd ' '
until_true 120 "the job on high" sh -c "squeue --noheader --job $high --states R | grep -q ."
squeue --array
say "checkpoints while job $job waits"
histories saved "$folder/shared"
restarted() { scontrol show job "$job" | grep -q 'JobState=\(RUNNING\|COMPLETED\)'; }
until_true 600 "job $job to run again" restarted
say "job $job runs again"
scontrol show job "$job" | grep -oE '(JobState|Restarts|StartTime|NodeList)=[^ ]*' | paste -sd ' '
wait $sweeping || { cat "$folder/sweep.err.out"; fail "the sweep"; }
sweeping=
say "the sweep has ended; its report:"
cat "$folder/sweep.out"
tr '\r' '\n' < "$folder/sweep.err.out" | tail -n 4
say "epochs of each run by the time they were logged"
histories gaps "$folder/server/store.db"
say "the job's own words"
cat "$folder"/shared/*/jobs/"${job}"_0_log.{out,err} \
    | grep -E '^(submitit|slurmstepd|srun|credit)' | cut -c 1-160

starts=$(cat "$folder"/shared/*/jobs/*_log.err | grep -c 'start over' || true)
echo "jobs that say that they found no checkpoint and start over: $starts"
[ "$starts" = 0 ] || fail "a job began from zero"

# ---------------------------------------------------------------- detached
say "ladder --epochs 15 --seeds 4,5 --detach true"
"${on_slurm[@]}" --epochs 15 --seeds 4,5 --detach true
squeue --array
say "the same without --detach"
"${on_slurm[@]}" --epochs 15 --seeds 4,5 > "$folder/detached.out" 2> "$folder/detached.err.out" \
    || { cat "$folder/detached.err.out"; fail "collecting"; }
head -n 12 "$folder/detached.out"
echo "all jobs of this hour:"
squeue --states all --array --sort i --format '%12i %9P %8j %T %r'

# ---------------------------------------------------------------- the same in one process
say "the same sweeps in one process, SQLite store"
export OMP_NUM_THREADS=1 # as a job of one CPU has
export MLFLOW_TRACKING_URI="sqlite:///$folder/one/store.db"
for options in "--epochs $epochs --seeds 1,2,3" "--epochs 15 --seeds 4,5"; do
    # shellcheck disable=SC2086
    "${ladder[@]}" $options > "$folder/one.out" 2> "$folder/one.err.out" || fail "one process"
done
say "SLURM against one process"
histories same "$folder/server/store.db" "$folder/server" "$folder/one/store.db" "$folder/one"
say "done in $SECONDS s"
