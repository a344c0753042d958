#!/bin/sh
# What the Dockerfile does, where no container engine is: install into an empty environment, and
# serve a small model from there, with keys, until its health check holds; then stop it.
set -eu
source=$(cd "$(dirname "$0")/.." && pwd)
place=$(mktemp -d)
trap 'kill $service 2> /dev/null || true; rm -rf "$place"' EXIT
service=

"$source/docker/install.sh" "$place/coldtune" "$source"
export PATH="$place/coldtune/bin:$PATH"
unset PYTHONPATH
cd "$place"
python - << 'END'
from datasets.demo import make_demo
from recsys import Recommender, RecommenderConfig

dataset = make_demo("catalogue", n_songs=27, n_artists=9, n_listeners=80, progress=False)
config = RecommenderConfig(threads=1, tracking=False, encoder={"epochs": 1})
Recommender(config).fit(dataset).save("model")
END
key=$(coldtune key add steps --role read --keys keys.json)
coldtune serve model --host 0.0.0.0 --port 0 --keys keys.json --uploads uploads --workers 2 \
    > address 2> log &
service=$!
for _ in $(seq 240); do
    port=$(sed -n 's/.*:\([0-9][0-9]*\)$/\1/p' address)
    if [ -n "$port" ] && COLDTUNE_PORT=$port python "$source/docker/health.py" 2> /dev/null; then
        break
    fi
    sleep 0.5
done
COLDTUNE_PORT=$port python "$source/docker/health.py"
python - "$port" "$key" << 'END'
import sys
from urllib.error import HTTPError
from urllib.request import Request, urlopen

port, key = sys.argv[1:]
address = f"http://127.0.0.1:{port}/v1/model"
print(urlopen(Request(address, headers={"Authorization": f"Bearer {key}"})).read().decode())
try:
    urlopen(address)
except HTTPError as error:
    assert error.code == 401, error
else:
    sys.exit("answered without a key")
END
kill -TERM $service
wait $service
echo "the steps of the container have been run"
