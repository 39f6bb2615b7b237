#!/usr/bin/env bash
# Lints the packages, builds what can be built here, and embeds proteins with the result.
#
#   tests/packaging/run.sh FOLDER    FOLDER keeps the Python environment of the tools between runs
#
# The conda package is made for real, by rattler-build. The image is made where docker or podman answers and its
# bases can be had; elsewhere the run says so and tries what goes into it.
set -euo pipefail
tools=${1:?wanted: a folder for the Python environment of the tools}
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
version=$(sed -n 's/^version = "\(.*\)"$/\1/p' Cargo.toml | head -n 1)
dockerfile=host/packaging/container/Dockerfile
most_bytes=$((200 * 1000 * 1000))
# The profile that everything else here is built with; packages themselves are built with `release`.
export PROFILE=ci

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
skipped() { printf 'SKIPPED: %s\n' "$*" >&2; }
done_with() { printf 'ok: %s\n' "$*"; }

environment() {
  local wanted=tests/packaging/requirements.txt
  [[ -x $tools/bin/python ]] && cmp -s "$wanted" "$tools/requirements.txt" && return 0
  rm -rf "$tools"
  python3 -m venv "$tools" && "$tools/bin/python" -m pip install --quiet --requirement "$wanted" &&
    cp "$wanted" "$tools/"
}

lint() {
  "$tools/bin/hadolint" "$dockerfile"
  # A lint that finds nothing anywhere proves nothing.
  if printf 'FROM debian\nRUN cd /x && apt-get install y\n' | "$tools/bin/hadolint" - >/dev/null; then
    echo 'hadolint does not bite' >&2
    return 1
  fi
  "$tools/bin/shellcheck" host/packaging/*.sh host/packaging/conda/build.sh tests/packaging/run.sh .ci/run
  done_with 'Dockerfile (hadolint) and scripts (shellcheck) are clean'
}

# What both packages do, without their tools: install below a folder, then use it as somebody without rights who
# has neither a home nor anything else of this machine's.
install_and_use() {
  local prefix=$scratch/installed user=()
  bash host/packaging/install.sh "$prefix"
  [[ $(wc -l <"$prefix/share/licenses/pliant/crates.tsv") -gt 50 ]]
  if RUSTFLAGS='-C target-cpu=x' bash host/packaging/install.sh "$prefix" 2>/dev/null; then
    echo 'install.sh takes flags for one kind of processor' >&2
    return 1
  fi
  mkdir -p "$scratch/source/tests"
  cp -r tests/fixtures "$scratch/source/tests/"
  chmod -R a+rX "$scratch"
  if [[ $(id -u) -eq 0 ]] && command -v setpriv >/dev/null; then
    user=(setpriv --reuid=54321 --regid=54321 --clear-groups)
  fi
  (cd "$scratch/source" && "${user[@]}" env -i PATH="$prefix/bin:/usr/bin:/bin" bash -s "$version") \
    <host/packaging/check.sh
  done_with "installed below a folder and used there${user[1]+ by a user without rights}"
}

engine() {
  local name
  for name in docker podman; do
    if command -v "$name" >/dev/null && "$name" info >/dev/null 2>&1; then
      echo "$name"
      return
    fi
  done
}

image() {
  local engine tag=localhost/pliant-packaging-test bytes base base_image
  base_image=$(sed -n 's/^ARG BASE_IMAGE=//p' "$dockerfile")
  engine=$(engine)
  if [[ -z $engine ]]; then
    skipped 'the image was not built (neither docker nor podman answers here); its Dockerfile was linted and its' \
      'install.sh was run above'
    return
  fi
  while read -r base; do
    if ! "$engine" image inspect "$base" >/dev/null 2>&1 && ! "$engine" pull --quiet "$base" >/dev/null; then
      skipped "the image was not built ($engine cannot get its base $base)"
      return
    fi
  done < <(sed -n 's/^ARG [A-Z]*_IMAGE=//p' "$dockerfile")
  if ! "$engine" run --rm "$base_image" true >/dev/null 2>&1; then
    skipped "the image was not built ($engine answers here and may not start a container)"
    return
  fi
  "$engine" build --file "$dockerfile" --tag "$tag" .
  # As anybody, without a home, with nothing to write to but /tmp.
  "$engine" run --rm --user 54321:54321 --network none --read-only --tmpfs /tmp --volume "$PWD:/data:ro" \
    --workdir /data "$tag" bash host/packaging/check.sh "$version"
  # shellcheck disable=SC2016 # the shell of the image expands it
  "$engine" run --rm "$tag" bash -c 'for tool in awk bash date grep ps sed tail tee; do command -v $tool; done'
  bytes=$("$engine" image inspect --format '{{.Size}}' "$tag")
  if [[ $bytes -gt $most_bytes ]]; then
    echo "the image has $bytes bytes, wanted at most $most_bytes" >&2
    return 1
  fi
  done_with "image built and used with $engine: $((bytes / 1000 / 1000)) MB"
}

if environment; then
  lint
  install_and_use
  mkdir "$scratch/conda"
  # It looks for patchelf on PATH.
  PATH=$tools/bin:$PATH "$tools/bin/python" tests/packaging/conda.py . "$scratch/conda"
  done_with 'conda package built, installed and tested (rattler-build, without conda channels)'
else
  skipped 'nothing was linted and no conda package was made (python3 with venv, pip and a package index is needed)'
  install_and_use
fi
image
