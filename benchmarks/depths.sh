#!/bin/sh
# The study behind "How deep to freeze" in docs/results.md: both phases on five folds by patient, as far as they are known,
# of the IQ-OTH/NCCD images in $1, from chest-CT weights at 96 px; then the winner at 224 px with three seeds, each tested
# once. Calling it again goes on with what is missing; the first time it goes on with what is in
# benchmarks/results/depths_state.tar.xz, a study that is not done yet, of which phase 1 is (depths_phase1.csv).
set -eu
data=${1:?usage: benchmarks/depths.sh DIR [OPTION...]}
shift
common="data=iqothnccd model.weights=chest_ct logger=csv trial.objective=val/balanced_acc"
small="data.image_size=96 trainer.max_epochs=2"
if [ ! -f benchmarks/results/depths_phase1.csv ]; then
  python train.py -m hparams_search=phase1 study=depths-phase1 hydra.sweeper.n_trials=6 freeze=200 \
    'data.val_fold=range(5)' \
    data.root="$data" $common $small "$@"
fi
[ -e logs/depths-phase2 ] || tar xJf benchmarks/results/depths_state.tar.xz
python train.py -m hparams_search=phase2 study=depths-phase2 hydra.sweeper.start_from=null \
  optimizer=adam optimizer.lr=8.7e-5 data.batch_size=16 \
  freeze=0,10,40,80,140,200,312,345 'data.val_fold=range(5)' 'seed=range(2)' data.root="$data" $common $small "$@"
python train.py -m --config-dir=logs +depths-phase2=best study=depths-final 'seed=range(3)' test=true \
  data.root="$data" $common data.image_size=224 trainer.max_epochs=8 "$@"
frostline report logs
