#!/bin/sh
# Installs the real telephones and the browser that the tests call with, from the system's packages, when run as root;
# then the JavaScript libraries of the test pages, from npm.
set -eu
cd "$(dirname "$0")/.."
missing=
browser=
command -v linphonec >/dev/null 2>&1 || missing="$missing linphone-cli"
command -v baresip >/dev/null 2>&1 || missing="$missing baresip"
command -v sipp >/dev/null 2>&1 || missing="$missing sip-tester"
command -v npm >/dev/null 2>&1 || missing="$missing npm"
command -v chromium >/dev/null 2>&1 || command -v chromium-browser >/dev/null 2>&1 ||
  command -v google-chrome >/dev/null 2>&1 || browser=chromium
if [ -n "$missing$browser" ]; then
  if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -qq
    [ -z "$missing" ] || apt-get install -y -qq --no-install-recommends $missing >/dev/null
    # Apart from the others: where a system has no such package (Ubuntu's is a snap), they are there all the same.
    [ -z "$browser" ] || apt-get install -y -qq --no-install-recommends $browser >/dev/null ||
      echo "Chromium could not be installed. The tests that need a browser will be skipped and say so."
  else
    echo "Not installed (needs root):$missing $browser. The tests that call with them will be skipped and say so."
  fi
fi

cd tests/browsers
if command -v npm >/dev/null 2>&1 && ! cmp -s package-lock.json node_modules/installed.json; then
  npm ci --ignore-scripts --no-audit --no-fund --loglevel=error >/dev/null
  cp package-lock.json node_modules/installed.json
fi
