# shellcheck shell=bash
# Proteins for the proofs of the workflows, and changes to them. To be sourced.

# About 200 proteins, no two with one sequence: real ones where PLIANT_TEST_DATA has the proteome, otherwise made up,
# the same ones every time. The last two are a repeated record and one in lower case, as such things happen.
make_proteins() {
  local proteome=${PLIANT_TEST_DATA:-/nonexistent}/proteome_ecoli_k12/UP000000625_83333.fasta.gz
  if [[ -r $proteome ]]; then
    gzip -dc "$proteome" | awk '
      function put() { if (name != "" && length(body) <= 500 && !seen[body]++ && ++count <= 200) print name "\n" body }
      /^>/ { put(); name = $0; body = ""; next }
      { body = body $0 }
      END { put() }' >"$1"
  else
    echo 'NOTE: no proteome in PLIANT_TEST_DATA; the proteins are made up' >&2
    awk 'BEGIN {
      state = 20
      for (record = 1; record <= 200; record++) {
        printf ">made%03d\nM", record
        state = (state * 16807) % 2147483647
        for (rest = 30 + state % 400; rest > 0; rest--) {
          state = (state * 16807) % 2147483647
          printf "%s", substr("ACDEFGHIKLMNPQRSTVWY", 1 + state % 20, 1)
        }
        print ""
      }
    }' >"$1"
  fi
  { head -n 2 "$1"; printf '>lower\nmktaeqldnwgskvrhpf\n'; } >"$1.more"
  cat "$1.more" >>"$1"
  rm "$1.more"
}

# Substitutes one residue of the record with this number, from 1; its sequence stands on one line.
substitute_residue() {
  awk -v wanted="$2" '
    /^>/ { record++; print; next }
    record == wanted { $0 = substr($0, 1, 9) (substr($0, 10, 1) == "A" ? "L" : "A") substr($0, 11) }
    { print }' "$1" >"$1.new"
  cmp -s "$1" "$1.new" && return 1
  mv "$1.new" "$1"
}

# Inserts a record before all others, long enough to move the boundaries of shards.
insert_record() {
  { printf '>inserted\nM'; printf 'KLNEDWAGTRHS%.0s' {1..80}; printf '\n'; cat "$1"; } >"$1.new"
  mv "$1.new" "$1"
}

# Adds a record that is longer than the tiny model's training, which only `--long error` minds.
append_long_record() {
  { printf '>too_long\nM'; printf 'ACDEFGHIKLMNPQRSTVWY%.0s' {1..60}; printf '\n'; } >>"$1"
}

# Adds a dozen records with a stop inside.
append_bad_records() {
  local number
  for number in {1..12}; do printf '>bad_%d\nMK*LV\n' "$number"; done >>"$1"
}

# Puts a `pliant` into the folder that writes each call's words to the file CALLS and then is the real one; the first
# call that holds the word TRY_AGAIN ends as if the system were short of something.
make_tracing_program() {
  local real
  real=$(realpath "$(command -v pliant)")
  mkdir -p "$1"
  cat >"$1/pliant" <<END
#!/usr/bin/env bash
printf '%s\n' "\$*" >>"\$CALLS"
if [[ -n "\${TRY_AGAIN:-}" && "\$*" == *"\$TRY_AGAIN"* && ! -e "\$CALLS.tried" ]]; then
  : >"\$CALLS.tried"
  exit 75
fi
exec $(printf '%q' "$real") "\$@"
END
  chmod +x "$1/pliant"
}

# Writes the configuration of a training of a second or two, with many checkpoints.
make_training() {
  cat >"$1" <<'END'
[data]
held_out = 0.1
crop = 64

[optimizer]
learning_rate = 4e-3
beta1 = 0.9
beta2 = 0.98
epsilon = 1e-8
weight_decay = 0.01
clip = 1.0

[schedule]
kind = "cosine"
warmup_steps = 5
steps = 40

[run]
steps = 40
budget_tokens = 1024
seed = 3

[checkpoint]
every_steps = 4

[log]
every_steps = 2
evaluate_every_steps = 10
END
}

# Writes labelled proteins of a FASTA, whose sequences stand on one line, into FOLDER/train.tsv, valid.tsv and test.tsv:
# those with many basic residues, and the others.
make_labels() {
  awk -v folder="$2" '
    BEGIN { for (part = 0; part < 3; part++) print "id\tsequence\tkind" >(folder "/" name(part)) }
    function name(part) { return part == 0 ? "test.tsv" : part == 1 ? "valid.tsv" : "train.tsv" }
    /^>/ { record++; next }
    length($0) <= 120 {
      letters = $0
      basic = gsub(/[KRkr]/, "", letters) / length($0) > 0.12 ? "basic" : "other"
      part = kept++ % 4
      print "protein_" record "\t" $0 "\t" basic >(folder "/" name(part))
    }' "$1"
}

# Puts a `pliant` into the folder whose first `pretrain` is killed, as a system without memory does it, once there is a
# checkpoint; every other call is the real one. The file KILLED then tells the signal.
make_killing_program() {
  local real
  real=$(realpath "$(command -v pliant)")
  mkdir -p "$1"
  cat >"$1/pliant" <<END
#!/usr/bin/env bash
real=$(printf '%q' "$real")
if [[ "\${1:-}" != pretrain || -e "\$KILLED" ]]; then exec "\$real" "\$@"; fi
for word in "\$@"; do
  [[ "\${last:-}" != --out ]] || out=\$word
  last=\$word
done
"\$real" "\$@" &
run=\$!
until compgen -G "\$out/checkpoints/step_*" >/dev/null || ! kill -0 "\$run" 2>/dev/null; do sleep 0.02; done
kill -KILL "\$run"
wait "\$run" || status=\$?
echo "\${status:-0}" >"\$KILLED"
exit "\${status:-0}"
END
  chmod +x "$1/pliant"
}

# Every pair of the proteins of a FASTA, with labels that nobody would learn.
make_pairs() {
  printf 'id_a\tid_b\tlabel\n'
  awk '/^>/ { id[++count] = substr($1, 2) }
    END { for (a = 1; a < count; a++) for (b = a + 1; b <= count; b++) printf "%s\t%s\t%d\n", id[a], id[b], (a + b) % 2 }' "$1"
}
