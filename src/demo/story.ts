/**
 * The story of the demo as command lines: procedural data, a base and two experts, a merge, unlearning of a person,
 * distillation into a smaller model, a curriculum for it; and the middle part once more as one pipe.
 * `examples/pipeline.sh` is this list.
 */

/** A command, or several joined by pipes, as a shell would have them. */
export interface Line {
  /** Scripts with their arguments. */
  readonly stages: readonly string[];
  /** Model that is there afterwards, to be evaluated. */
  readonly makes?: string;
  /** What it does, for people. */
  readonly about?: string;
}

const LARGE = {
  model_type: "llama",
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  vocab_size: 264,
  max_position_embeddings: 160,
  tie_word_embeddings: true,
};
const SMALL = { ...LARGE, hidden_size: 64, intermediate_size: 160, num_hidden_layers: 2 };

/** Files that are there before the first line. */
export const FILES: Readonly<Record<string, string>> = {
  "large.json": `${JSON.stringify(LARGE)}\n`,
  "small.json": `${JSON.stringify(SMALL)}\n`,
};

const PEOPLE = "data facts --people 4 --forget-share 0.25 --part";
const TRAIN = "--batch-size 8 --pack --save-every 0";
const MERGE = "merge language facts --base base --method task_arithmetic --weight 0.5,1";
const UNLEARN =
  "--method wga --forget forget.jsonl --retain keep.jsonl --steps 40 --lr 1e-3 --batch-size 8 --save-every 0";
const DISTILL = `--init small.json --tokenizer byte --method taid --data keep.jsonl --data language.jsonl --mixture 0.6,0.4 --steps 140 --lr 4e-3 --warmup 10 ${TRAIN}`;

/** What a model is measured on. */
export const MEASURE =
  "--data language=language-test.jsonl --data keep=keep.jsonl --data forget=forget.jsonl --metric loss,exact-memorisation --bootstrap 0";

/** The whole story. Paths are relative to one folder. */
export const STORY: readonly Line[] = [
  {
    about:
      "Data: a language of known entropy, four invented people of whom one is to be forgotten, and the world at large",
    stages: ["data markov --order 1 --size 600 -o language.jsonl"],
  },
  { stages: ["data markov --order 1 --size 40 --split test -o language-test.jsonl"] },
  { stages: [`${PEOPLE} target -o people.jsonl`] },
  { stages: [`${PEOPLE} forget -o forget.jsonl`] },
  { stages: [`${PEOPLE} retain -o keep.jsonl`] },
  { stages: ["data facts --part world --size 40 -o world.jsonl"] },
  {
    about: "A base, and two experts made from it",
    stages: [
      `train --init large.json --tokenizer byte --data language.jsonl --data world.jsonl --mixture 0.5,0.5 ${TRAIN} --schedule constant --steps 120 --lr 4e-3 --warmup 5 --clip 1 --log base.jsonl -o base/`,
    ],
    makes: "base",
  },
  {
    stages: [
      `train base --data language.jsonl --data world.jsonl --mixture 0.8,0.2 ${TRAIN} --schedule constant --steps 50 --lr 1e-3 --log language-expert.jsonl -o language/`,
    ],
    makes: "language",
  },
  {
    stages: [
      `train base --data people.jsonl --data language.jsonl --mixture 0.8,0.2 ${TRAIN} --schedule linear --steps 140 --lr 3e-3 --log facts-expert.jsonl -o facts/`,
    ],
    makes: "facts",
  },
  { about: "Merge the experts", stages: [`${MERGE} -o merged/`], makes: "merged" },
  {
    about: "Make the result forget a person, and keep the others",
    stages: [`unlearn merged ${UNLEARN} --log unlearn.jsonl -o unlearned/`],
    makes: "unlearned",
  },
  {
    about: "Teach a model of a third of the size",
    stages: [`distill --teacher unlearned ${DISTILL} --log distill.jsonl -o student/`],
    makes: "student",
  },
  {
    about: "Train the student on, with a mixture that follows its losses",
    stages: [
      "curriculum student --method aioli --share 0.75 --round 20 --passes 1 --lp-steps 2 --data keep=keep.jsonl --data language=language.jsonl --eval-data keep=keep.jsonl --eval-data language=language-test.jsonl --steps 80 --lr 3e-3 --warmup 5 --batch-size 8 --save-every 0 --log curriculum.jsonl -o final/",
    ],
    makes: "final",
  },
  {
    about: "Merge, unlearn and distil once more, as one pipe with no file in between",
    stages: [MERGE, `unlearn ${UNLEARN}`, `distill ${DISTILL} -o piped/`],
  },
  {
    about: "All of them side by side, and every curve, on one page",
    stages: [`evaluate base language facts merged unlearned student final ${MEASURE} --log evaluation.jsonl`],
  },
  {
    stages: [
      "report base.jsonl language-expert.jsonl facts-expert.jsonl unlearn.jsonl distill.jsonl curriculum.jsonl evaluation.jsonl -o report.html",
    ],
  },
  { about: "What made the final model", stages: ["inspect final --command"] },
];

/** Files that the story makes twice, by file and by pipe. */
export const TWICE = ["student/model.safetensors", "piped/model.safetensors"] as const;

/** The story as a shell script that can be edited. */
export function asScript(): string {
  const files = Object.entries(FILES).map(([name, text]) => `cat > ${name} <<'EOF'\n${text}EOF`);
  const wrapped = (stage: string) => `ingot ${stage}`.replace(/(.{70,110}) (?=--)/g, "$1 \\\n    ").replace(/ $/, "");
  const lines = STORY.flatMap(({ about, stages, makes }) => [
    ...(about ? ["", `# ${about}`] : []),
    stages.map(wrapped).join(" \\\n  | "),
    ...(makes ? [`measure ${makes}`] : []),
  ]);
  return `#!/bin/sh
# Four techniques joined: merge, unlearn, distill, curriculum. \`bun run demo\` runs these lines; change them to see what happens.
#
#   sh examples/pipeline.sh [folder]
set -eu
export INGOT_OVERWRITE=1 # run again, it replaces its own results
INGOT=$(cd "$(dirname "$0")/.." && pwd)
ingot() { "\${BUN:-bun}" "$INGOT/scripts/ingot.ts" "$@"; }
measure() {
  ${wrapped(`evaluate "$1" ${MEASURE}`)}
}

mkdir -p "\${1:-pipeline}"
cd "\${1:-pipeline}"
${files.join("\n")}
${lines.join("\n")}

# The same bytes by file and by pipe
cmp ${TWICE.join(" ")}
`;
}

if (import.meta.main) await Bun.write(new URL("../../examples/pipeline.sh", import.meta.url), asScript());
