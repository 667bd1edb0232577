#!/bin/sh
# The table "How much better a split by image looks" in docs/results.md: 3 seeds x 2 splits x 2 starts on the IQ-OTH/NCCD images in $1.
# Calling it again goes on with what is missing: a finished run only prints its result.
set -eu
data=${1:?usage: benchmarks/splits.sh DIR [OPTION...]}
shift
for seed in 0 1 2; do
  for split in random grouped; do
    python train.py data=iqothnccd data.root="$data" data.split=$split seed=$seed study=splits \
      model.weights=chest_ct trainer.max_epochs=8 hydra.run.dir=logs/splits/chest_ct-$split-$seed "$@"
  done
done
for seed in 0 1 2; do
  for split in random grouped; do
    python train.py data=iqothnccd data.root="$data" data.split=$split seed=$seed study=splits \
      experiment=from_scratch hydra.run.dir=logs/splits/scratch-$split-$seed "$@"
  done
done
python benchmarks/table.py logs/splits
