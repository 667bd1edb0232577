#!/bin/sh
# The table "A recipe" in docs/results.md: what is changed about the training of the IQ-OTH/NCCD images in $1, each change
# scored on the same five folds beside the sealed test set. Calling it again goes on with what is missing.
set -eu
data=${1:?usage: benchmarks/recipe.sh DIR [OPTION...]}
shift
try() {
  name=$1
  shift
  python train.py -m 'data.val_fold=range(5)' study="recipe-$name" test=false logger=csv data=iqothnccd \
    data.root="$data" model.weights=chest_ct freeze=312 data.image_size=224 trainer.max_epochs=8 "$@"
}
try base "$@"
try class_weights data.balance=class_weights "$@"
try ema trainer.averaging=ema "$@"
try smoothing loss.label_smoothing=0.1 "$@"
try 4_epochs trainer.max_epochs=4 "$@"
try cosine scheduler=cosine "$@"
try 128_px data.image_size=128 "$@"
try sampler data.balance=sampler "$@"
try strong data.augment=strong "$@"
try 320_px data.image_size=320 "$@"
