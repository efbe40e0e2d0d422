import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { runScript } from "../../support/command.ts";
import { inLab, type Lab, mean } from "../curriculum-lab.ts";
import { experimentOf } from "../experiment.ts";
import { uniform } from "../support.ts";

const [CLASSES, WORDS, FILLERS, PER_CLASS] = [4, 8, 40, 6];
/** Words of a class with their synonyms, then fillers; ids from 1 on. */
const wordOf = (id: number): string => `w${id}`;
const keyOf = (label: number, word: number): number => 1 + label * WORDS + word;
const FIRST_FILLER = 1 + 2 * CLASSES * WORDS;
const VOCABULARY = FIRST_FILLER + FILLERS;
const CONFIG = {
  ...{ model_type: "bert", vocab_size: VOCABULARY, hidden_size: 32, intermediate_size: 64, num_hidden_layers: 2 },
  ...{ num_attention_heads: 2, max_position_embeddings: 32, num_labels: CLASSES, initializer_range: 0.1 },
};

/**
 * Sentences of ten words: three of the class, one of another class, and fillers. Classes of `shift` half their words on
 * say the same with other words.
 */
function sentences(count: number, seed: number, shift: number): { text: string; label: number }[] {
  const next = uniform(seed);
  const below = (n: number) => Math.floor(next() * n);
  return Array.from({ length: count }, (_, i) => {
    const label = i % CLASSES;
    const wrong = (label + 1 + below(CLASSES - 1)) % CLASSES;
    const keys = [label, label, label, wrong].map((own) => keyOf(own + shift * CLASSES, below(PER_CLASS)));
    const words = [...keys, ...Array.from({ length: 6 }, () => FIRST_FILLER + below(FILLERS))];
    for (let j = words.length - 1; j > 0; j--) {
      const k = below(j + 1);
      [words[j], words[k]] = [words[k]!, words[j]!];
    }
    return { text: words.map(wordOf).join(" "), label };
  });
}

/** Rows of ids, as a classifier of texts without a tokenizer reads them. */
const encoded = (rows: readonly { readonly text: string; readonly label: number }[]) =>
  rows.map(({ text, label }) => ({ input_ids: text.split(" ").map((word) => Number(word.slice(1))), label }));

async function ran(lab: Lab, script: string, line: string): Promise<string> {
  const { code, text, err } = await runScript(script, line.split(" "), lab.folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  return text;
}

/** Copies of the rows by EDA; a word of a class has two others of it as synonyms. */
async function augmented(lab: Lab, rows: readonly { text: string; label: number }[]) {
  const ids = Array.from({ length: 2 * CLASSES * WORDS }, (_, i) => 1 + i);
  const synonyms = ids.map((id) => {
    const first = id - ((id - 1) % WORDS);
    return [wordOf(id), [1, 2].map((step) => wordOf(first + ((id - first + step) % WORDS)))] as const;
  });
  writeFileSync(join(lab.folder, "synonyms.json"), JSON.stringify(Object.fromEntries(synonyms)));
  const file = lab.rows("sentences", rows);
  const text = await ran(lab, "data", `augment ${file} --copies 3 --synonyms synonyms.json --seed 1 -q`);
  return text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as { text: string; label: number });
}

const RUNS = {
  none: "",
  eda: "",
  mixup: "--mixup 0.4",
  "mixup of embeddings": "--mixup 0.4 --mixup-at embedding",
  contrastive: "--contrastive 0.3",
} as const;
type Name = keyof typeof RUNS;
const SEEDS = 3;

export const experiment = experimentOf({
  title: "Few rows: EDA, mixup and a contrastive loss beside LoRA",
  about: `Sentences of ten words: three of the class's eight, one of another class's, and fillers. A BERT of two layers learns 600 rows of four
classes, then through LoRA 100 rows of the same classes in other words, 240 steps of 10 rows. *EDA* adds three copies of each row by
\`data augment\`, with two synonyms for every word of a class; *mixup* is \`--mixup 0.4\`, *of embeddings* with
\`--mixup-at embedding\`, *contrastive* \`--contrastive 0.3\`. Accuracy on 400 other rows, the mean over ${SEEDS} seeds of the training; SE is the standard error of the difference from *none*, over these seeds.`,
  seeds: [1, 2, 3],
  tested: 1,
  long: true,
  figures: {
    "none: accuracy": { above: 0.3 },
    "eda: accuracy": {},
    "mixup: accuracy": {},
    "mixup of embeddings: accuracy": {},
    "contrastive: accuracy": {},
    "eda − none": {},
    "eda − none, SE": {},
    "mixup − none": {},
    "mixup − none, SE": {},
    "mixup of embeddings − none": {},
    "mixup of embeddings − none, SE": {},
    "contrastive − none": {},
    "contrastive − none, SE": {},
  },
  run: (seed) =>
    inLab(async (lab) => {
      lab.rows("before", encoded(sentences(600, 1000 * seed, 0)));
      lab.rows("held", encoded(sentences(400, 1000 * seed + 2, 1)));
      const few = sentences(100, 1000 * seed + 1, 1);
      lab.rows("few", encoded(few));
      lab.rows("more", encoded(await augmented(lab, few)));
      const training = "--batch-size 10 --lr 3e-3 --save-every 0 -q";
      await ran(lab, "train", `${lab.fresh(CONFIG)} --data before.jsonl --epochs 4 ${training} -o base.safetensors`);
      const accuracy = async (name: Name, own: number): Promise<number> => {
        const data = name === "eda" ? "more.jsonl" : "few.jsonl";
        const options = `--lora --lora-rank 4 --steps 240 --seed ${own} --overwrite ${RUNS[name]}`.trim();
        await ran(lab, "adapt", `base.safetensors --data ${data} ${training} ${options} -o adapter`);
        const text = await ran(
          lab,
          "evaluate",
          "base.safetensors+adapter --data held.jsonl --metric accuracy --json -q",
        );
        return (JSON.parse(text) as { rows: { value: number }[] }).rows[0]!.value;
      };
      const found: Record<Name, number[]> = {
        none: [],
        eda: [],
        mixup: [],
        "mixup of embeddings": [],
        contrastive: [],
      };
      for (const name of Object.keys(RUNS) as Name[])
        for (let own = 1; own <= SEEDS; own++) found[name].push(await accuracy(name, own));
      const beside = (name: Name): [difference: number, error: number] => {
        const differences = found[name].map((value, i) => value - found.none[i]!);
        const average = mean(differences);
        const variance = differences.reduce((sum, x) => sum + (x - average) ** 2, 0) / (SEEDS - 1);
        return [average, Math.sqrt(variance / SEEDS)];
      };
      const [eda, mixup, contrastive] = [beside("eda"), beside("mixup"), beside("contrastive")];
      const embedded = beside("mixup of embeddings");
      return {
        "none: accuracy": mean(found.none),
        "eda: accuracy": mean(found.eda),
        "mixup: accuracy": mean(found.mixup),
        "mixup of embeddings: accuracy": mean(found["mixup of embeddings"]),
        "contrastive: accuracy": mean(found.contrastive),
        "eda − none": eda[0],
        "eda − none, SE": eda[1],
        "mixup − none": mixup[0],
        "mixup − none, SE": mixup[1],
        "mixup of embeddings − none": embedded[0],
        "mixup of embeddings − none, SE": embedded[1],
        "contrastive − none": contrastive[0],
        "contrastive − none, SE": contrastive[1],
      };
    }),
});
