#!/bin/sh
# What is changed about the training of the IQ-OTH/NCCD images in $1, each change scored on the same five folds by patient,
# as far as they are known, beside the sealed test set, with two seeds. The backbone is frozen whole where that does not
# contradict the change: then what it makes of the images is computed once for all runs, and a fold takes seconds.
# Those with the last stage that were run are in benchmarks/results/recipe_state.tar.xz: unpacked here, they are not run again.
# Calling it again goes on with what is missing; `frostline compare --split val logs/recipe-*` sets them side by side.
set -eu
data=${1:?usage: benchmarks/recipe.sh DIR [OPTION...]}
shift
try() {
  name=$1
  shift
  python train.py -m 'data.val_fold=range(5)' 'seed=range(2)' study="recipe-$name" test=false logger=csv \
    data=iqothnccd data.root="$data" model.weights=chest_ct \
    trial.objective=val/balanced_acc "$@"
}
whole="freeze=345 optimizer.lr=1e-3 trainer.max_epochs=10"
last="freeze=312 optimizer.lr=8.7e-5 trainer.max_epochs=4 data.image_size=128"
try base $whole "$@"
try linear $whole 'model.head_widths=[]' "$@"
try class_weights $whole data.balance=class_weights "$@"
try sampler $whole data.balance=sampler "$@"
try smoothing $whole loss.label_smoothing=0.1 "$@"
try 128_px $whole data.image_size=128 "$@"
try 320_px $whole data.image_size=320 "$@"
try imagenet $whole model=efficientnet_lite2 model.weights=imagenet freeze=202 "$@"
try last_stage $last "$@"
try last_stage_weighted $last data.balance=class_weights "$@"
try averaging $last trainer.averaging=ema "$@"
try lp_ft $last training=lp_ft training.head_epochs=2 "$@"
try layer_decay $last optimizer.layer_decay=0.1 "$@"
try gradual $last training=gradual "$@"
try strong $whole data.image_size=128 data.augment=strong "$@"
