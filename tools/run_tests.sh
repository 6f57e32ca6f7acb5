#!/bin/sh
# Every test, in two processes side by side: those with real telephones and browsers, which mostly wait for sound to pass,
# and all others, which mostly compute and therefore step back: a browser that gets no processor is not heard without gaps.
# What the first print is shown when the others have ended.
set -u
cd "$(dirname "$0")/.."
pytest=$1
real="tests/browsers tests/clients"
others=
for each in $real; do others="$others --ignore=$each"; done
heard=$(mktemp)
trap 'rm -f "$heard"' EXIT
"$pytest" -rs $real >"$heard" 2>&1 &
beside=$!
nice -n 10 "$pytest" -rs $others
computed=$?
wait "$beside"
called=$?
echo "Real telephones and browsers:"
cat "$heard"
[ "$computed" = 0 ] && [ "$called" = 0 ]
