#!/bin/sh
# Long studies on machines that come and go: `carry.sh save` puts all of logs but checkpoints, pictures and caches into
# benchmarks/results/logs.tar.xz, `carry.sh load` brings it back; the same commands then go on with what is missing.
set -eu
file=benchmarks/results/logs.tar.xz
case ${1:?usage: benchmarks/carry.sh save or load} in
  save)
    tar --create --xz --file "$file" --sort=name --exclude='*.ckpt' --exclude='*.png' --exclude=.locks --exclude=wandb \
      --exclude='logs/cache' --exclude=phantoms --exclude='report*.html' logs
    ls -l "$file" ;;
  load) tar --extract --xz --file "$file" ;;
  *) echo "carry.sh: save or load" >&2 && exit 2 ;;
esac
