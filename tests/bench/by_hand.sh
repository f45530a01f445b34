#!/bin/sh
# The peer that works by hand: the CLI's commands, one after the other, as a person would write them down.
#   by_hand.sh CLOUDS CLOUD PYTHON       in a folder of its own, with the CLI on PATH
# Only `--client` is not a person's: the program's language host is Pulumi's own (automation's LanguageServer), because
# the CLI's for Python is in no package registry.
set -eu
trap 'kill $(jobs -p) 2> kill.log || true' EXIT
clouds=$1 cloud=$2 python=$3
export PULUMI_CONFIG_PASSPHRASE="a benchmark" PULUMI_BACKEND_URL="file://$PWD" PULUMI_SKIP_UPDATE_CHECK=true
by_hand() { "$python" -m tests.bench.by_hand "$clouds" "$cloud" "$@"; }

printf 'name: by-hand\nruntime: python\n' > Pulumi.yaml
run=$(by_hand name)
eval "$(by_hand environment)"

up() {
  rm -f address && mkfifo address
  "$python" -m tests.bench.by_hand "$clouds" "$cloud" host "$1" "$run" > address &
  read -r address < address
  pulumi stack init "$run-$1"
  pulumi up --yes --stack "$run-$1" --client "$address"
  kill $!
}
down() {
  pulumi destroy --yes --stack "$run-$1"
  pulumi stack rm --yes "$run-$1"
}

up data
pulumi stack output --json --stack "$run-data" > data.json
by_hand query "$run"
up compute
pulumi stack output --json --stack "$run-compute" > compute.json
by_hand invoke "$run"
down compute
down data
