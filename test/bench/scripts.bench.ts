/**
 * What a technique costs: seconds of a step of each learning script beside plain `train` on the same model and rows,
 * and what is left of the difference once the extra forward passes that the technique asks for are taken off.
 *
 *   bun test/bench/scripts.bench.ts [--steps N] [--rounds N]
 *
 * Llama with hidden 192, 4 layers, vocabulary 512; 8 rows of 128 tokens (unlearn: 8 to forget and 8 to keep, beside
 * train with 16; undial keeps nothing). Scripts take turns, since the speed of a shared machine drifts; medians over
 * steps, least over rounds.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { collate } from "../../src/data/batch.ts";
import { openGpu } from "../../src/gpu/gpu.ts";
import { Model } from "../../src/model/model.ts";
import { Scorer } from "../../src/run/scoring/scorer.ts";
import { SlotPool } from "../../src/tensor/slots.ts";
import { table } from "../../src/text/table.ts";

const number = (name: string, otherwise: number) =>
  process.argv.includes(name) ? Number(process.argv[process.argv.indexOf(name) + 1]) : otherwise;
const STEPS = number("--steps", 14);
const ROUNDS = number("--rounds", 3);
const LENGTH = 128;
const CONFIG = {
  model_type: "llama",
  hidden_size: 192,
  intermediate_size: 512,
  num_hidden_layers: 4,
  num_attention_heads: 6,
  vocab_size: 512,
  max_position_embeddings: LENGTH,
};
const SCRIPTS = fileURLToPath(new URL("../../scripts/", import.meta.url));
const folder = mkdtempSync(join(tmpdir(), "ingot-bench-"));
process.on("exit", () => rmSync(folder, { recursive: true, force: true }));

const ids = (row: number) => Array.from({ length: LENGTH }, (_, i) => (row * 7919 + i * i * 31 + i) % 512);
const rows = (from: number) =>
  Array.from({ length: 64 }, (_, i) => `${JSON.stringify({ input_ids: ids(from + i) })}\n`).join("");
writeFileSync(join(folder, "config.json"), JSON.stringify(CONFIG));
writeFileSync(join(folder, "a.jsonl"), rows(0));
writeFileSync(join(folder, "b.jsonl"), rows(64));

/** Median seconds of a step, the first four (compilation) left out. */
function step(line: string): number {
  const [script, ...args] = line.split(" ");
  const log = join(folder, "log.jsonl");
  const child = Bun.spawnSync([process.execPath, `${SCRIPTS}${script}.ts`, ...args, "--log", log, "-q"], {
    cwd: folder,
  });
  if (child.exitCode !== 0) throw new Error(`${line}: ${child.stderr}`);
  const times = readFileSync(log, "utf8")
    .trim()
    .split("\n")
    .map((text) => JSON.parse(text) as { event: string; seconds: number })
    .filter(({ event }) => event === "step")
    .map(({ seconds }) => seconds);
  rmSync(log);
  const each = times.slice(5).map((seconds, i) => seconds - times[i + 4]!);
  return each.sort((x, y) => x - y)[Math.floor(each.length / 2)]!;
}

/** Seconds of a forward pass over 8 rows with its loss. */
async function forward(): Promise<number> {
  const gpu = await openGpu({});
  const model = await Model.fresh(gpu, CONFIG, "bench", { seed: 0 });
  const batch = collate(
    Array.from({ length: 8 }, (_, row) => [
      { ids: Int32Array.from(ids(row)), labels: Int32Array.from(ids(row)), group: 0, place: "" },
    ]),
  );
  const slots = new SlotPool(gpu);
  const scorer = new Scorer(model, slots);
  const times: number[] = [];
  for (let i = 0; i < 8; i++) {
    const began = performance.now();
    await scorer.score(batch);
    times.push((performance.now() - began) / 1000);
  }
  slots.free();
  model.free();
  return times.sort((x, y) => x - y)[2]!;
}

const COMMON = `--steps ${STEPS} --lr 1e-4 --save-every 0 --log-every 1`;
const DATA = `--data a=a.jsonl ${COMMON}`;
const GROUPS = `--data a=a.jsonl --data b=b.jsonl --eval-data a=a.jsonl --eval-data b=b.jsonl ${COMMON}`;
const FORGET = `--forget a.jsonl --retain b.jsonl ${COMMON} --batch-size 8`;
/** Label, command, plain training to compare with, extra forward passes over 8 rows in every step. */
const RUNS: readonly (readonly [string, string, 8 | 16, number])[] = [
  ["train, 8 rows", `train base ${DATA} --batch-size 8`, 8, 0],
  ["train, 16 rows", `train base ${DATA} --batch-size 16`, 16, 0],
  ["distill kd", `distill --teacher base --student base --label-weight 1 ${DATA} --batch-size 8`, 8, 1],
  ["distill taid", `distill --teacher base --student base --method taid --label-weight 1 ${DATA} --batch-size 8`, 8, 1],
  [
    "distill jsd, cache of 64",
    `distill --cache top.safetensors --student base --method jsd ${DATA} --batch-size 8`,
    8,
    0,
  ],
  ["unlearn npo", `unlearn base --method npo ${FORGET}`, 16, 0],
  ["unlearn simnpo", `unlearn base --method simnpo ${FORGET}`, 16, 0],
  ["unlearn undial", `unlearn base --method undial ${FORGET}`, 8, 1],
  ["curriculum stratified", `curriculum base --method stratified ${GROUPS} --batch-size 8`, 8, 0],
  ["curriculum coba", `curriculum base --method coba --every ${STEPS} ${GROUPS} --batch-size 8`, 8, 0],
];

step(`train --init config.json ${DATA} --steps 6 -o base`.replace(`--steps ${STEPS} `, ""));
Bun.spawnSync(
  [
    process.execPath,
    `${SCRIPTS}distill.ts`,
    "cache",
    "--teacher",
    "base",
    "--data",
    "a=a.jsonl",
    "--top",
    "64",
    "-o",
    "top.safetensors",
    "-q",
  ],
  { cwd: folder },
);
const least = new Map<string, number>();
let pass = Number.POSITIVE_INFINITY;
for (let round = 0; round < ROUNDS; round++) {
  pass = Math.min(pass, await forward());
  for (const [label, line] of RUNS) {
    const seconds = step(`${line} -o ${join(folder, "out")}`);
    least.set(label, Math.min(least.get(label) ?? Number.POSITIVE_INFINITY, seconds));
    rmSync(join(folder, "out"), { recursive: true, force: true });
  }
}
const cells = RUNS.map(([label, , size, extra]) => {
  const seconds = least.get(label)!;
  const plain = least.get(`train, ${size} rows`)!;
  const over = seconds / (plain + extra * pass) - 1;
  return [
    label,
    seconds.toFixed(3),
    ((size * LENGTH) / seconds).toFixed(0),
    String(extra),
    `${(100 * over).toFixed(0)} %`,
  ];
});
console.log(`forward pass over 8 rows: ${pass.toFixed(3)} s\n`);
console.log(table([["script", "s a step", "tokens/s", "extra forwards", "overhead"], ...cells], { align: "lrrrr" }));
process.exit(0);
