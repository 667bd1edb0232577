#!/bin/sh
# The study behind "How deep to freeze" in docs/results.md: both phases and the final training on the IQ-OTH/NCCD images in
# $1, split by group, from chest-CT weights, at 96 px. Calling it again goes on with what is missing.
set -eu
data=${1:?usage: benchmarks/depths.sh DIR [OPTION...]}
shift
frostline study --name depths --trials 16 --repeats 3 --seeds 3 \
  --depths 0,10,20,30,40,50,60,70,80,90,100,110,120,130,140,200,312,345 \
  data=iqothnccd data.root="$data" model.weights=chest_ct data.image_size=96 trainer.max_epochs=5 "$@"
frostline report depths
