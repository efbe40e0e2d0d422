/**
 * A search over merges in one process beside the same trials as processes, `merge` then `evaluate`: seconds per trial,
 * and peak memory.
 *
 *   bun test/bench/search.bench.ts                          200 trials of a model of 5 M parameters on 16 rows
 *   bun test/bench/search.bench.ts --trials 50 --processes 5 --dtype bfloat16
 *
 * Scores of both ways are compared to the bit. Linux only: memory is read from /proc.
 */
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { table } from "../../src/text/table.ts";

const script = (name: string) => fileURLToPath(new URL(`../../scripts/${name}.ts`, import.meta.url));

const { values } = parseArgs({
  options: {
    trials: { type: "string", default: "200" },
    processes: { type: "string", default: "5" },
    rows: { type: "string", default: "16" },
    width: { type: "string", default: "256" },
    layers: { type: "string", default: "6" },
    dtype: { type: "string", default: "float32" },
  },
});
const [trials, processes] = [Number(values.trials), Number(values.processes)];
const width = Number(values.width);
const folder = mkdtempSync(join(tmpdir(), "ingot-bench-"));

/** Most resident memory of a process; a software driver's GPU memory is part of it. From the kernel's own mark. */
function peakOf(pid: number): number {
  try {
    return 1024 * Number(/VmHWM:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))?.[1] ?? 0);
  } catch {
    return 0; // it has just ended
  }
}

interface Ran {
  readonly seconds: number;
  /** Of all threads; other work on the machine changes it less. */
  readonly cpu: number;
  readonly peak: number;
  readonly out: string;
}

async function run(name: string, args: string): Promise<Ran> {
  const began = performance.now();
  const child = Bun.spawn([process.execPath, script(name), ...args.split(" "), "-q"], {
    cwd: folder,
    stdin: "ignore",
    stdout: "pipe",
    stderr: "inherit",
  });
  let peak = 0;
  const look = setInterval(() => {
    peak = Math.max(peak, peakOf(child.pid));
  }, 20);
  const [out, code] = await Promise.all([new Response(child.stdout).text(), child.exited]);
  clearInterval(look);
  if (code !== 0) throw new Error(`${name} ${args} ended with ${code}`);
  const cpu = Number(child.resourceUsage()!.cpuTime.total) / 1e6;
  return { seconds: (performance.now() - began) / 1000, cpu, peak, out };
}

const config = {
  ...{
    model_type: "llama",
    hidden_size: width,
    intermediate_size: 4 * width,
    num_hidden_layers: Number(values.layers),
  },
  ...{ num_attention_heads: 4, vocab_size: 264, max_position_embeddings: 128 },
};
writeFileSync(join(folder, "config.json"), JSON.stringify(config));
await run("data", `addition --size ${values.rows} -o rows.jsonl`); // 16 rows are some 700 tokens
await run("train", "--init config.json --tokenizer byte --data rows.jsonl --steps 2 --batch-size 8 -o first/");
await run("merge", `first/ --method linear --out-dtype ${values.dtype} -o base/`);
for (const seed of [1, 2])
  await run("train", `base/ --data rows.jsonl --steps 4 --batch-size 8 --lr 1e-3 --seed ${seed} -o expert-${seed}/`);

const MERGE = "expert-1/ expert-2/ --base base/ --method task_arithmetic";
const searched = await run(
  "merge",
  `${MERGE} --search random --budget ${trials} --data rows.jsonl --objective loss --trials trials.jsonl --json`,
);
const lines = readFileSync(join(folder, "trials.jsonl"), "utf8").trim().split("\n").slice(1);
const made = lines.map((line) => JSON.parse(line) as { point: Record<string, number>; scores: { loss: number } });
const apart = { seconds: 0, cpu: 0, peak: 0 };
for (const { point, scores } of made.slice(0, processes)) {
  const merged = await run("merge", `${MERGE} --weight ${Object.values(point).join(",")} -o merged/ --overwrite`);
  const found = await run("evaluate", "merged/ --data rows.jsonl --metric loss --json");
  if (JSON.parse(found.out).loss !== scores.loss) throw new Error(`${found.out} is not ${scores.loss}`);
  apart.seconds += (merged.seconds + found.seconds) / processes;
  apart.cpu += (merged.cpu + found.cpu) / processes;
  apart.peak = Math.max(apart.peak, merged.peak, found.peak);
}
rmSync(folder, { recursive: true, force: true });
const together = { seconds: searched.seconds / trials, cpu: searched.cpu / trials, peak: searched.peak };
const line = (name: string, { seconds, cpu, peak }: typeof apart) => [
  name,
  seconds.toFixed(3),
  cpu.toFixed(3),
  `${Math.round(peak / 1e6)} MB`,
];
const ratio = (key: "seconds" | "cpu") => `${(apart[key] / together[key]).toFixed(1)} x`;
console.log(
  table([
    ["", "seconds per trial", "CPU seconds per trial", "peak memory"],
    line(`search of ${trials} trials, start included`, together),
    line("merge and evaluate as processes", apart),
    ["ratio", ratio("seconds"), ratio("cpu"), ""],
  ]),
);
