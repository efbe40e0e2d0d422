/**
 * Whole merges beside their floor, as processes: wall time, peak anonymous memory, start-up.
 *
 *   bun run bench                         1 GB checkpoints, five methods, five pairs of runs each
 *   bun run bench --gigabytes 0.25 --runs 3 --methods linear,ties --flush
 *
 * The floor of a merge is reading all of its inputs but one (cat > /dev/null) and copying that one (cp), with a warm
 * cache. Runs alternate, floor and merge, and the ratio is taken pair by pair, so that a machine whose speed drifts
 * still compares. With --flush both sides flush their output to the disk. Linux only: memory is read from /proc.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { table } from "../../src/text/table.ts";
import { generate } from "./generate.ts";

const MERGE = fileURLToPath(new URL("../../scripts/merge.ts", import.meta.url));

const METHODS: Record<string, { inputs: number; args: string[] }> = {
  linear: { inputs: 2, args: ["--weight", "0.3,0.7"] },
  slerp: { inputs: 2, args: ["--t", "0.35"] },
  task_arithmetic: { inputs: 3, args: ["--weight", "0.5"] },
  ties: { inputs: 3, args: ["--weight", "0.5", "--density", "0.5"] },
  dare_ties: { inputs: 3, args: ["--weight", "0.5", "--density", "0.5"] },
};

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

interface Run {
  readonly seconds: number;
  /** Largest anonymous memory seen, bytes. */
  readonly anonymous: number;
}

/** Runs a command to its end, looking at its anonymous memory every few milliseconds. */
async function run(command: string, args: readonly string[], flush: boolean): Promise<Run> {
  const began = performance.now();
  const env = { ...process.env, ...(flush ? {} : { INGOT_NO_FSYNC: "1" }) };
  const child = spawn(command, args, { stdio: ["ignore", "ignore", "inherit"], env });
  let anonymous = 0;
  const look = setInterval(() => {
    try {
      const status = readFileSync(`/proc/${child.pid}/status`, "utf8");
      const kilobytes = (field: string) => Number(new RegExp(`${field}:\\s+(\\d+)`).exec(status)?.[1] ?? 0);
      // A software driver keeps what a GPU would have in its own memory in anonymous files: shared memory to the
      // kernel.
      anonymous = Math.max(anonymous, 1024 * (kilobytes("RssAnon") + kilobytes("RssShmem")));
    } catch {} // it has just ended
  }, 5);
  const code = await new Promise((end) => child.on("close", end));
  clearInterval(look);
  if (code !== 0) throw new Error(`${command} ${args.join(" ")} ended with ${code}`);
  return { seconds: (performance.now() - began) / 1000, anonymous };
}

const weights = (folder: string): string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".safetensors"))
    .map((file) => join(folder, file));

async function floor(models: readonly string[], out: string, flush: boolean): Promise<Run> {
  const read = models.slice(0, -1).flatMap(weights).join(" ");
  const copy = `mkdir -p ${out} && cp ${weights(models.at(-1)!).join(" ")} ${out}/`;
  return run("sh", ["-c", `cat ${read} > /dev/null && ${copy}${flush ? ` && sync ${out}/*` : ""}`], flush);
}

const { values } = parseArgs({
  options: {
    gigabytes: { type: "string", default: "1" },
    runs: { type: "string", default: "5" },
    methods: { type: "string", default: Object.keys(METHODS).join(",") },
    folder: { type: "string" },
    flush: { type: "boolean", default: false },
  },
});
const folder = values.folder ?? mkdtempSync(join(tmpdir(), "ingot-bench-"));
const gigabytes = Number(values.gigabytes);
const models = existsSync(join(folder, "ft2"))
  ? ["base", "ft1", "ft2"].map((name) => join(folder, name))
  : generate(folder, gigabytes, 3);
const out = join(folder, "out");

const rows = [["method", "floor s", "merge s", "ratio", "least", "most", "peak anonymous MB"]];
for (const name of values.methods.split(",")) {
  const { inputs, args } = METHODS[name]!;
  const used = inputs === 2 ? models.slice(1) : models;
  const base = name === "linear" ? [] : ["--base", used[0]!];
  const rest = name === "linear" ? used : used.slice(1);
  const command = [MERGE, ...rest, ...base, "--method", name, ...args, "-o", `${out}/`, "--overwrite", "-q"];
  spawnSync("sh", ["-c", `cat ${used.flatMap(weights).join(" ")} > /dev/null`]);
  const floors: Run[] = [];
  const merges: Run[] = [];
  for (let i = -1; i < Number(values.runs); i++) {
    rmSync(out, { recursive: true, force: true });
    const bottom = await floor(used, out, values.flush);
    rmSync(out, { recursive: true, force: true });
    const merge = await run(process.execPath, command, values.flush);
    if (i < 0) continue; // the first pair warms the caches
    floors.push(bottom);
    merges.push(merge);
  }
  const ratios = merges.map((merge, i) => merge.seconds / floors[i]!.seconds);
  rows.push([
    name,
    median(floors.map((f) => f.seconds)).toFixed(2),
    median(merges.map((m) => m.seconds)).toFixed(2),
    median(ratios).toFixed(2),
    Math.min(...ratios).toFixed(2),
    Math.max(...ratios).toFixed(2),
    (Math.max(...merges.map((m) => m.anonymous)) / 1e6).toFixed(0),
  ]);
  process.stderr.write(`${rows.at(-1)!.join("  ")}\n`);
}
process.stdout.write(`${gigabytes} GB BF16 checkpoints, output ${values.flush ? "flushed" : "not flushed"} to disk\n`);
process.stdout.write(`${table(rows, { align: "lrrrrrr" })}\n`);

const golden = fileURLToPath(new URL("../golden/merge/inputs/tiny-f32/", import.meta.url));
const tiny = [
  MERGE,
  join(golden, "ft1"),
  join(golden, "ft2"),
  "--method",
  "linear",
  "--weight",
  "0.5",
  "-o",
  "/dev/null",
  "-q",
];
const times = async (args: string[]) => {
  const seconds: number[] = [];
  for (let i = 0; i < 11; i++) seconds.push((await run(process.execPath, args, false)).seconds);
  return (1000 * median(seconds)).toFixed(0);
};
process.stdout.write(`merge --help: ${await times([MERGE, "--help"])} ms (median of 11)\n`);
process.stdout.write(`a whole merge of a tiny model, first kernel included: ${await times(tiny)} ms (median of 11)\n`);
if (!values.folder) rmSync(folder, { recursive: true, force: true });
