#!/bin/sh
# The table "What pruning saves" in docs/results.md: phase 1 on the demo's phantoms with and without the median pruner,
# for 3 seeds of the sampler, learning rates being those of random weights. Calling it again goes on with what is missing.
set -eu
for seed in 0 1 2; do
  for pruner in median none; do
    python train.py -m hparams_search=phase1 experiment=demo_study trainer.max_epochs=4 logger=csv \
      'optimizer.lr=tag(log,interval(1e-4,1e-2))' 'data.batch_size=choice(8,12,16)' \
      hydra.sweeper.n_trials=10 hydra.sweeper.sampler.seed=$seed hydra.sweeper.pruner=$pruner \
      study=pruning-$pruner-$seed "$@"
  done
done
python benchmarks/pruning_table.py logs
