/**
 * Whole merges beside their floor, as processes: wall time, peak anonymous memory, start-up.
 *
 *   bun test/bench/merge.bench.ts         1 GB checkpoints, five methods, five pairs of runs each
 *   bun test/bench/merge.bench.ts --gigabytes 0.25 --runs 3 --methods linear,ties --flush
 *
 * The floor of a merge is reading all of its inputs but one (cat > /dev/null) and copying that one (cp), with a warm
 * cache. Runs alternate, floor and merge, and the ratio is taken pair by pair, so that a machine whose speed drifts
 * still compares. With --flush both sides flush their output to the disk. Linux only: memory is read from /proc.
 */
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { parseArgs } from "node:util";
import { table } from "../../src/text/table.ts";
import { generate } from "./generate.ts";
import { floor, MERGE, METHODS, median, mergeCommand, type Run, run, weights } from "./whole-merges.ts";

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
  const used = models.slice(models.length - METHODS[name]!.inputs);
  const command = mergeCommand(name, models, out);
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
