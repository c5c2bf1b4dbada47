#!/usr/bin/env bash
# Build the images with buildah on a stand-in for their base: Debian with Python 3.11, made by
# debootstrap, where neither Docker nor an image registry is at hand. It shows that every step of a
# Dockerfile runs and that the imports at its end work; it does not show what Dataflow's own base
# image does. Needs root, and the Debian packages buildah and debootstrap.
#
#   docker/build_on_standin.sh train prep [-- OPTION_OF_BUILDAH_BUILD...]
#
# MIRROR names the Debian mirror. Behind -- go, for example, mounts of a pip configuration:
# --volume /etc/pip.conf:/etc/pip.conf:ro
set -euo pipefail
cd "$(dirname "$0")/.."
mirror=${MIRROR:-http://deb.debian.org/debian}
base=localhost/perfnet-standin:bookworm
names=()
while (($#)) && [[ $1 != -- ]]; do
  names+=("$1")
  shift
done
(($#)) && shift
if ((${#names[@]} == 0)); then
  echo "usage: docker/build_on_standin.sh NAME_OF_DOCKERFILE... [-- OPTION_OF_BUILDAH...]" >&2
  exit 2
fi
for tool in buildah debootstrap; do
  command -v "$tool" >/dev/null || { echo "$tool is needed: apt-get install $tool" >&2; exit 2; }
done

if ! buildah inspect --type image "$base" >/dev/null 2>&1; then
  root=$(mktemp -d)
  trap 'rm -rf "$root"' EXIT
  debootstrap --variant=minbase \
    --include=ca-certificates,python3-dev,python3-pip,python3-venv,python-is-python3 \
    bookworm "$root" "$mirror"
  rm -f "$root"/usr/lib/python3*/EXTERNALLY-MANAGED # as in Python's own images
  mkdir -p "$root/opt/apache/beam"
  container=$(buildah from scratch)
  buildah copy --quiet "$container" "$root" /
  buildah config --env PATH=/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin "$container"
  buildah commit --quiet --rm "$container" "$base"
fi

for name in "${names[@]}"; do
  buildah build --format docker --isolation chroot --network host --pull-never --layers --from "$base" \
    --file "docker/$name.Dockerfile" --tag "localhost/perfnet-$name:standin" "$@" .
done
