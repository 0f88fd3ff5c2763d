#!/usr/bin/env bash
# Train cluster/worker.py on two nodes. From the checkout, which all nodes must see at the same path:
#     sbatch cluster/slurm.sh '{"folder": "/shared/run", "epochs": 20}'
#SBATCH --job-name=course
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=4
#SBATCH --time=00:30:00
#SBATCH --requeue
#SBATCH --open-mode=append
# For nodes with GPUs, add: #SBATCH --gpus-per-node=4   and submit with RANKS=4, one rank for each GPU.
set -euo pipefail
PYTHON=${PYTHON:-.venv/bin/python}
RANKS=${RANKS:-1}  # on each node
TRIES=3            # a job that fails is queued again, and goes on from its checkpoint
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
# export GLOO_SOCKET_IFNAME=eth0 NCCL_SOCKET_IFNAME=eth0  # if ranks do not find each other: see cluster/README.md

nodes=$(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=${nodes%%$'\n'*}                   # the ranks meet at the first node
port=$((20000 + SLURM_JOB_ID % 10000))  # two jobs on one node must not meet each other

# One task on each node: torchrun, which starts that node's ranks. Only within the task is the node's number known.
torchrun=("$PYTHON" -m torch.distributed.run --nnodes="$SLURM_JOB_NUM_NODES" --nproc-per-node="$RANKS"
  --rdzv-backend=static --rdzv-endpoint="$head:$port" --rdzv-id="$SLURM_JOB_ID")
if srun --kill-on-bad-exit=1 bash -c 'exec "${@:2}" --node-rank="$SLURM_NODEID" cluster/worker.py "$1"' task \
  "${1:-"{}"}" "${torchrun[@]}"; then
  exit 0
fi

attempt=$((${SLURM_RESTART_COUNT:-0} + 1))
echo "attempt $attempt of $TRIES of job $SLURM_JOB_ID failed"
if ((attempt < TRIES)); then
  scontrol requeue "$SLURM_JOB_ID"
fi
exit 1
