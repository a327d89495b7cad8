#!/usr/bin/env bash
# The GPU suite in one command: checks the captured step, trains every rule once, times the step
# against its floor, and last trains the published 72-run ladder. Results are written as they come.
# Made to take under 10 minutes on one H100.
#
#   CREDIT_DATA=... benchmarks/gpu.sh [folder for the results, default gpu-results] [stage ...]
#
# Stages: tests once floor epoch profile precision scaling ladders; by default all, in this order.
# A stage that fails does not stop the others; the exit status is then 1.
#
# Uses $PYTHON, else .venv/bin/python, else python3. Needs CIFAR-10 on disk, torch with CUDA, and
# mlflow, or mlflow-skinny with sqlalchemy, alembic, cryptography for the SQLite store. No network.
# Runs go to a tracking store of their own in the folder, and are exported there.
set -uo pipefail
cd "$(dirname "$0")/.." || exit 1

out=$(mkdir -p "${1:-gpu-results}" && cd "${1:-gpu-results}" && pwd) || exit 1
shift
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export MLFLOW_TRACKING_URI="sqlite:///$out/mlflow.db" CREDIT_STATE="$out/state"
export MLFLOW_DISABLE_TELEMETRY=true

"$python" - << 'END' || exit 1
import sys

import torch

if not torch.cuda.is_available():
    sys.exit("gpu.sh: torch finds no CUDA device here")
from credit.data import load
from credit.errors import CreditError
from credit.tracking.store import open_store

try:
    load("cifar10")
    open_store()
except CreditError as error:
    sys.exit(f"gpu.sh: {error}")
END
nvidia-smi | tee "$out/nvidia-smi.txt"
: > "$out/times.txt"

timed() { # name, command ...
    local name=$1 start=$SECONDS status=0
    "${@:2}" > "$out/$name.txt" 2> "$out/$name.err" || status=$?
    echo "$name: $((SECONDS - start)) s, exit status $status" | tee -a "$out/times.txt"
    [ "$status" = 0 ] || { tail -n 3 "$out/$name.err" "$out/$name.txt"; failed=1; }
}

ladder() { # name, options of the entry point
    timed "$1" "$python" -m entrypoints.ladder --device cuda --rules bp,fa,dfa "${@:2}"
    "$python" -m entrypoints.export --kind ladder --folder "$out/$1" > /dev/null || failed=1
}

tests() {
    timed tests "$python" -m pytest -q -p no:cacheprovider -rs -k "gpu or cuda or captured" \
        tests/training/test_captured.py tests/data/test_batches.py tests/sweep/test_planning.py
}
once() { timed once "$python" -m entrypoints.atlas --preset quick --device cuda; }
ladders() {
    ladder ladder_d256_L4
    ladder ladder_d512_L2 --width 512 --depth 2
}
floor() { timed floor "$python" -m benchmarks.floor --device cuda; }
epoch() { timed epoch "$python" -m benchmarks.epoch --device cuda --rounds 2 --steps 100; }
profile() { timed profile "$python" -m benchmarks.profile_step --device cuda; }
precision() { timed precision "$python" -m benchmarks.precision --device cuda --epochs 8; }
scaling() { timed scaling "$python" -m benchmarks.scaling --device cuda --quick; }

failed=0
for stage in ${@:-tests once floor epoch profile precision scaling ladders}; do
    "$stage"
done
echo
cat "$out/times.txt"
exit $failed
