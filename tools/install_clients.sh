#!/bin/sh
# Installs the real telephones that the tests call with, from the system's packages, when run as root.
set -eu
missing=
command -v linphonec >/dev/null 2>&1 || missing="$missing linphone-cli"
command -v baresip >/dev/null 2>&1 || missing="$missing baresip"
command -v sipp >/dev/null 2>&1 || missing="$missing sip-tester"
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
  apt-get update -qq
  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
else
  echo "Not installed (needs root):$missing. The tests that call with them will be skipped and say so."
fi
