#!/usr/bin/env bash
# Render the book into _build/html: run here the notebooks that are due, or take their stored outputs.
#   EXECUTE=auto  run them where an engine answers (the default)     EXECUTE=off  take the stored outputs
set -euo pipefail
cd "$(dirname "$0")/.."

EXECUTE=${EXECUTE:-auto}
if [ "$EXECUTE" = auto ]; then
  status=0
  .venv/bin/boxlab doctor >/dev/null || status=$?
  case $status in
    0)
      .venv/bin/boxlab prepare
      EXECUTE=on
      ;;
    3)
      EXECUTE=off
      echo "book: no engine here (\`make doctor\` says why): rendering the stored outputs, and saying whose they are"
      ;;
    *) exit "$status" ;;
  esac
fi
# A notebook that the build runs has no terminal: its progress bars go to ours, if there is one.
if [ -t 2 ]; then BOXLAB_TERMINAL=$(tty <&2); else BOXLAB_TERMINAL=; fi
export EXECUTE BOXLAB_TERMINAL

# What Sphinx and Jupyter leave when they fail, they leave in our folder.
export TMPDIR=$PWD/_build/tmp
mkdir -p "$TMPDIR"
trap 'rm -rf "$TMPDIR"' EXIT
trap 'echo "book: interrupted; nothing of ours is left running" >&2; exit 130' INT TERM
log=$TMPDIR/build.log

if ! .venv/bin/jupyter-book build . --warningiserror --nitpick --keep-going --quiet >"$log" 2>&1; then
  cat "$log" >&2
  rm -rf _build/.doctrees # or the next build would take what this one has read, and pass without a word
  echo "book: not rendered; the lines above say why" >&2
  exit 1
fi
case $EXECUTE in
  on) echo "book: _build/html/index.html, measured on this machine (profile ${PROFILE:-class})" ;;
  *) echo "book: _build/html/index.html, from the stored outputs" ;;
esac
