#!/bin/sh
# What is changed about the training of the IQ-OTH/NCCD images in $1, each change scored on the same five folds by patient,
# as far as they are known, beside the sealed test set, with two seeds. The backbone is frozen whole where that does not
# contradict the change: then what it makes of the images is computed once, and a fold takes a minute.
# Calling it again goes on with what is missing; `frostline compare --split val logs/recipe-*` sets them side by side.
set -eu
data=${1:?usage: benchmarks/recipe.sh DIR [OPTION...]}
shift
try() {
  name=$1
  shift
  python train.py -m 'data.val_fold=range(5)' 'seed=range(2)' study="recipe-$name" test=false logger=csv \
    data=iqothnccd data.root="$data" model.weights=chest_ct freeze=345 optimizer.lr=1e-3 trainer.max_epochs=10 \
    trial.objective=val/balanced_acc "$@"
}
try base "$@"
try linear 'model.head_widths=[]' "$@"
try class_weights data.balance=class_weights "$@"
try sampler data.balance=sampler "$@"
try smoothing loss.label_smoothing=0.1 "$@"
try ema trainer.averaging=ema "$@"
try swa trainer.averaging=swa "$@"
try cosine scheduler=cosine "$@"
try 128_px data.image_size=128 "$@"
try 320_px data.image_size=320 "$@"
try last_stage freeze=312 optimizer.lr=8.7e-5 trainer.max_epochs=8 "$@"
try strong data.augment=strong "$@"
try last_stage_strong freeze=312 optimizer.lr=8.7e-5 trainer.max_epochs=8 data.augment=strong "$@"
try lp_ft training=lp_ft freeze=312 optimizer.lr=8.7e-5 trainer.max_epochs=8 "$@"
