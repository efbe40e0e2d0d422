#!/bin/sh
# Four techniques joined: merge, unlearn, distill, curriculum. `bun run demo` runs these lines; change them to see what happens.
#
#   sh examples/pipeline.sh [folder]
set -eu
export INGOT_OVERWRITE=1 # run again, it replaces its own results
INGOT=$(cd "$(dirname "$0")/.." && pwd)
ingot() { "${BUN:-bun}" "$INGOT/scripts/ingot.ts" "$@"; }
measure() {
  ingot evaluate "$1" --data language=language-test.jsonl --data keep=keep.jsonl --data forget=forget.jsonl \
    --metric loss,exact-memorisation --bootstrap 0
}

mkdir -p "${1:-pipeline}"
cd "${1:-pipeline}"
cat > large.json <<'EOF'
{"model_type":"llama","hidden_size":96,"intermediate_size":256,"num_hidden_layers":3,"num_attention_heads":4,"vocab_size":264,"max_position_embeddings":160,"tie_word_embeddings":true}
EOF
cat > small.json <<'EOF'
{"model_type":"llama","hidden_size":64,"intermediate_size":160,"num_hidden_layers":2,"num_attention_heads":4,"vocab_size":264,"max_position_embeddings":160,"tie_word_embeddings":true}
EOF

# Data: a language of known entropy, four invented people of whom one is to be forgotten, and the world at large
ingot data markov --order 1 --size 600 -o language.jsonl
ingot data markov --order 1 --size 40 --split test -o language-test.jsonl
ingot data facts --people 4 --forget-share 0.25 --part target -o people.jsonl
ingot data facts --people 4 --forget-share 0.25 --part forget -o forget.jsonl
ingot data facts --people 4 --forget-share 0.25 --part retain -o keep.jsonl
ingot data facts --part world --size 40 -o world.jsonl

# A base, and two experts made from it
ingot train --init large.json --tokenizer byte --data language.jsonl --data world.jsonl --mixture 0.5,0.5 \
    --batch-size 8 --pack --save-every 0 --schedule constant --steps 120 --lr 4e-3 --warmup 5 --clip 1 \
    --log base.jsonl -o base/
measure base
ingot train base --data language.jsonl --data world.jsonl --mixture 0.8,0.2 --batch-size 8 --pack \
    --save-every 0 --schedule constant --steps 50 --lr 1e-3 --log language-expert.jsonl -o language/
measure language
ingot train base --data people.jsonl --data language.jsonl --mixture 0.8,0.2 --batch-size 8 --pack \
    --save-every 0 --schedule linear --steps 140 --lr 3e-3 --log facts-expert.jsonl -o facts/
measure facts

# Merge the experts
ingot merge language facts --base base --method task_arithmetic --weight 0.5,1 -o merged/
measure merged

# Make the result forget a person, and keep the others
ingot unlearn merged --method wga --forget forget.jsonl --retain keep.jsonl --steps 40 --lr 1e-3 \
    --batch-size 8 --save-every 0 --log unlearn.jsonl -o unlearned/
measure unlearned

# Teach a model of a third of the size
ingot distill --teacher unlearned --init small.json --tokenizer byte --method taid --data keep.jsonl \
    --data language.jsonl --mixture 0.6,0.4 --steps 140 --lr 4e-3 --warmup 10 --batch-size 8 --pack --save-every 0 \
    --log distill.jsonl -o student/
measure student

# Train the student on, with a mixture that follows its losses
ingot curriculum student --method aioli --share 0.75 --round 20 --passes 1 --lp-steps 2 --data keep=keep.jsonl \
    --data language=language.jsonl --eval-data keep=keep.jsonl --eval-data language=language-test.jsonl --steps 80 \
    --lr 3e-3 --warmup 5 --batch-size 8 --save-every 0 --log curriculum.jsonl -o final/
measure final

# Merge, unlearn and distil once more, as one pipe with no file in between
ingot merge language facts --base base --method task_arithmetic --weight 0.5,1 \
  | ingot unlearn --method wga --forget forget.jsonl --retain keep.jsonl --steps 40 --lr 1e-3 --batch-size 8 \
    --save-every 0 \
  | ingot distill --init small.json --tokenizer byte --method taid --data keep.jsonl --data language.jsonl \
    --mixture 0.6,0.4 --steps 140 --lr 4e-3 --warmup 10 --batch-size 8 --pack \
    --save-every 0 -o piped/

# All of them side by side, and every curve, on one page
ingot evaluate base language facts merged unlearned student final --data language=language-test.jsonl \
    --data keep=keep.jsonl --data forget=forget.jsonl --metric loss,exact-memorisation --bootstrap 0 \
    --log evaluation.jsonl
ingot report base.jsonl language-expert.jsonl facts-expert.jsonl unlearn.jsonl distill.jsonl curriculum.jsonl evaluation.jsonl -o report.html

# What made the final model
ingot inspect final --command

# The same bytes by file and by pipe
cmp student/model.safetensors piped/model.safetensors
