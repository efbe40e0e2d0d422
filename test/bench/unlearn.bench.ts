/**
 * All objectives of unlearning on invented people, TOFU in small: a table of objectives by metrics.
 *
 *   bun test/bench/unlearn.bench.ts [--people N] [--forget SHARE] [--epochs N] [--methods npo,ssd] [--seed N] [--keep
 *     DIR]
 *
 * The target learns all people and some facts of the world, gold all but those to forget, by the same recipe. Every
 * method starts from the target, through the script's own process. Numbers depend on the seed and the device alone.
 * Eleven minutes on two busy cores of a CPU at the defaults. The settings come from a smaller world and were not
 * searched: the table says what each does, not which is best; with so few people forget quality and the attacks are
 * coarse.
 */
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { runScript } from "../support/command.ts";

const { values: flags } = parseArgs({
  options: {
    people: { type: "string", default: "6" },
    forget: { type: "string", default: "0.34" },
    epochs: { type: "string", default: "40" },
    methods: { type: "string" },
    seed: { type: "string", default: "0" },
    keep: { type: "string" },
  },
});

const RETAIN = "--retain retain.jsonl";
const SETTINGS: Record<string, string> = {
  "grad-ascent": "--lr 5e-4 --steps 12",
  "grad-diff": `--lr 5e-4 --steps 16 ${RETAIN}`,
  "kl-min": `--lr 5e-4 --steps 16 ${RETAIN}`,
  npo: `--lr 5e-4 --steps 30 ${RETAIN}`,
  "npo+sam": `--smooth sam --rho 0.1 --retain-weight 2.25 --lr 5e-4 --steps 24 ${RETAIN}`,
  simnpo: `--forget-weight 1 --lr 1e-3 --steps 24 ${RETAIN}`,
  dpo: `--beta 0.02 --lr 5e-4 --steps 16 ${RETAIN}`,
  altpo: `--beta 0.1 --lr 5e-4 --steps 30 ${RETAIN}`,
  wga: `--lr 5e-4 --steps 20 ${RETAIN}`,
  satimp: `--forget-weight 1 --retain-weight 0.1 --lr 1e-3 --steps 24 ${RETAIN}`,
  undial: "--lr 5e-4 --steps 16",
  "ce-u": "--lr 5e-4 --steps 12",
  pdu: `--retain-weight 1 --rate 5 --lr 5e-4 --steps 20 ${RETAIN}`,
  rmu: `--lr 1e-3 --steps 20 ${RETAIN}`,
  isolate: `--layers 0 --lr 2e-3 --steps 20 ${RETAIN}`,
  ssd: RETAIN,
};
const CONFIG = {
  model_type: "llama",
  hidden_size: 96,
  intermediate_size: 256,
  num_hidden_layers: 3,
  num_attention_heads: 4,
  vocab_size: 264,
  max_position_embeddings: 256,
  rms_norm_eps: 1e-5,
};
/** Heading, metric, and the group it is of; metrics that compare groups are of all. */
const COLUMNS: readonly (readonly [heading: string, metric: string, group: string])[] = [
  ["prob. forget", "probability", "forget"],
  ["prob. retain", "probability", "retain"],
  ["prob. world", "probability", "world"],
  ["paraphrased", "paraphrased-probability", "forget"],
  ["EM", "exact-memorisation", "forget"],
  ["ES", "extraction-strength", "forget"],
  ["ROUGE-L", "rouge-l", "forget"],
  ["truth ratio", "truth-ratio", "forget"],
  ["forget quality", "forget-quality", "all"],
  ["MIA loss", "mia-loss", "all"],
  ["zlib", "mia-zlib", "all"],
  ["min-k", "mia-min-k", "all"],
  ["min-k++", "mia-min-k-plus", "all"],
  ["reference", "mia-reference", "all"],
  ["gradnorm", "mia-gradnorm", "all"],
  ["PrivLeak", "privleak", "all"],
  ["utility", "model-utility", "all"],
  ["score", "unlearning-score", "all"],
];

const folder = flags.keep ?? mkdtempSync(join(tmpdir(), "ingot-unlearn-bench-"));
mkdirSync(folder, { recursive: true });
const at = (name: string) => join(folder, name);
const began = performance.now();

async function run(script: string, line: string): Promise<string> {
  const { text, err, code } = await runScript(script, line.split(" "), folder);
  if (code !== 0) throw new Error(`${script} ${line}\n${err}`);
  process.stderr.write(`${((performance.now() - began) / 1000).toFixed(0).padStart(4)} s  ${script} ${line}\n`);
  return text;
}

const names = flags.methods?.split(",") ?? Object.keys(SETTINGS);
const unknown = names.find((name) => !(name in SETTINGS));
if (unknown) throw new Error(`--methods ${unknown}: there are ${Object.keys(SETTINGS).join(", ")}`);

const { people, forget, epochs, seed } = flags;
for (const part of ["target", "forget", "retain", "holdout"])
  await run("data", `facts --people ${people} --forget ${forget} --part ${part} --seed ${seed} -q -o ${part}.jsonl`);
await run("data", `facts --part world --size 10 --seed ${seed} -q -o world.jsonl`);
// As many rows to measure what is kept as there are to forget, drawn over all people.
const rowsOf = (name: string) =>
  readFileSync(at(`${name}.jsonl`), "utf8")
    .trim()
    .split("\n");
const [kept, gone] = [rowsOf("retain"), rowsOf("forget").length];
const some = kept.filter((_, i) => Math.floor((i * gone) / kept.length) !== Math.floor(((i - 1) * gone) / kept.length));
writeFileSync(at("kept.jsonl"), `${some.join("\n")}\n`);
writeFileSync(at("config.json"), JSON.stringify(CONFIG));

// Gold takes as many steps as the target, over fewer rows.
const steps = Math.ceil((Number(epochs) * (rowsOf("target").length + 10)) / 16);
for (const [model, data] of [
  ["target", "target"],
  ["gold", "retain"],
])
  await run(
    "train",
    `--init config.json --tokenizer byte --data ${data}.jsonl --data world.jsonl --batch-size 16 --steps ${steps} --lr 3e-3 --warmup 20 --seed ${seed} -q -o ${model}/`,
  );
for (const name of names)
  await run(
    "unlearn",
    `target/ --method ${name.split("+")[0]} --forget forget.jsonl --batch-size 10 ${SETTINGS[name]} --seed ${seed} -q -o ${name}/`,
  );

const metrics = [...new Set(COLUMNS.map(([, metric]) => metric))].join(",");
const { rows } = JSON.parse(
  await run(
    "evaluate",
    `target ${names.join(" ")} --gold gold --data forget=forget.jsonl --data retain=kept.jsonl --data holdout=holdout.jsonl --data world=world.jsonl --metric ${metrics} --max-tokens 64 --bootstrap 0 --seed ${seed} --json -q`,
  ),
) as { rows: { model: string; group: string; metric: string; value: number | null }[] };

const cell = (model: string, metric: string, group: string): string => {
  const value = rows.find((row) => row.model === model && row.metric === metric && row.group === group)?.value;
  if (typeof value !== "number") return "";
  return metric === "privleak"
    ? value.toFixed(0)
    : value !== 0 && value < 5e-3
      ? value.toExponential(0)
      : value.toFixed(2);
};
const line = (cells: readonly string[]) => `| ${cells.join(" | ")} |`;
console.log(
  `${people} people, ${gone} rows to forget of ${rowsOf("target").length}, seed ${seed}, ${steps} steps of training\n`,
);
console.log(line(["", ...COLUMNS.map(([heading]) => heading), "settings"]));
console.log(
  line(Array.from({ length: COLUMNS.length + 2 }, (_, i) => (i === 0 || i > COLUMNS.length ? "---" : "---:"))),
);
for (const model of ["target", "gold", ...names]) {
  const cells = COLUMNS.map(([, metric, group]) => cell(model, metric, group));
  console.log(line([model, ...cells, (SETTINGS[model] ?? "").replace(RETAIN, "").trim()]));
}
if (!flags.keep) rmSync(folder, { recursive: true, force: true });
