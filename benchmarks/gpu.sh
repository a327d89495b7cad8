#!/usr/bin/env bash
# The GPU suite in one command: checks the captured step, times it against its floor, and trains the
# published 72-run ladder. Made to take under 8 minutes on one H100.
#
#   CREDIT_DATA=... benchmarks/gpu.sh [folder for the results, default gpu-results]
#
# Uses $PYTHON, else .venv/bin/python, else python3. Needs torch with CUDA and mlflow or mlflow-skinny; no network. Results go
# to a tracking store of their own in the folder, and are exported there for `make import`.
set -euo pipefail
cd "$(dirname "$0")/.."

out=$(mkdir -p "${1:-gpu-results}" && cd "${1:-gpu-results}" && pwd)
python=${PYTHON:-$([ -x .venv/bin/python ] && echo .venv/bin/python || echo python3)}
export MLFLOW_TRACKING_URI="sqlite:///$out/mlflow.db" CREDIT_STATE="$out/state"
export MLFLOW_DISABLE_TELEMETRY=true

"$python" -c 'import torch; torch.cuda.is_available() or exit("gpu.sh: torch finds no CUDA device here")'
nvidia-smi | tee "$out/nvidia-smi.txt"
"$python" -m pytest -q -p no:cacheprovider -rs -k "gpu or cuda or captured" \
    tests/test_lanes.py tests/test_data.py | tee "$out/tests.txt"

"$python" -m benchmarks.floor --device cuda | tee "$out/floor.json"
"$python" -m benchmarks.epoch --device cuda --rounds 3 --steps 200 | tee "$out/epoch.json"
"$python" -m benchmarks.profile_step --device cuda > "$out/profile.txt"

ladder() { # name, options of the entry point
    local name=$1 start=$SECONDS
    "$python" -m entrypoints.ladder --device cuda --rules bp,fa,dfa "${@:2}" | tee "$out/$name.txt"
    echo "$name: $((SECONDS - start)) seconds, all measuring included" | tee -a "$out/times.txt"
    "$python" -m entrypoints.export --kind ladder --folder "$out/$name"
}
: > "$out/times.txt"
ladder "ladder_d256_L4_fp32"
ladder "ladder_d512_L2_fp32" --width 512 --depth 2
ladder "ladder_d256_L4_tf32" --precision tf32 --seeds 42
ladder "ladder_d256_L4_bf16" --precision bf16 --seeds 42

echo
nvidia-smi --query-gpu=name,memory.used --format=csv,noheader
cat "$out/times.txt"
