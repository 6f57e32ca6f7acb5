#!/bin/sh
# Makes the virtual environment, with a plain word about what is missing on a fresh Debian or Ubuntu machine.
#   tools/make_venv.sh PYTHON FOLDER
set -eu
python=$1
folder=$2
if ! command -v "$python" >/dev/null 2>&1; then
  echo "sipconf needs Python 3.11 or newer; '$python' was not found (apt-get install python3 python3-venv)" >&2
  exit 1
fi
if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
  echo "sipconf needs Python 3.11 or newer; '$python' is $("$python" --version 2>&1). Name another: make PYTHON=python3.12 ..." >&2
  exit 1
fi
if ! "$python" -c 'import ensurepip, venv' 2>/dev/null; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv
  else
    echo "Python's venv module is missing: apt-get install python3-venv, then run make again" >&2
    exit 1
  fi
fi
"$python" -m venv "$folder"
