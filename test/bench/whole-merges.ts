/** Whole merges as processes, and the floor that they are measured against. */
import { spawn } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The script that merges. */
export const MERGE = fileURLToPath(new URL("../../scripts/merge.ts", import.meta.url));

/** Methods that are timed: how many checkpoints they read, the base included, and their options. */
export const METHODS: Record<string, { inputs: number; args: string[] }> = {
  linear: { inputs: 2, args: ["--weight", "0.3,0.7"] },
  slerp: { inputs: 2, args: ["--t", "0.35"] },
  task_arithmetic: { inputs: 3, args: ["--weight", "0.5"] },
  ties: { inputs: 3, args: ["--weight", "0.5", "--density", "0.5"] },
  dare_ties: { inputs: 3, args: ["--weight", "0.5", "--density", "0.5"] },
};

export const median = (values: readonly number[]): number =>
  [...values].sort((a, b) => a - b)[Math.floor(values.length / 2)]!;

export interface Run {
  readonly seconds: number;
  /** Largest anonymous memory seen, bytes. */
  readonly anonymous: number;
}

/** Runs a command to its end, looking at its anonymous memory every few milliseconds. */
export async function run(command: string, args: readonly string[], flush: boolean): Promise<Run> {
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

/** The weight files of a checkpoint. */
export const weights = (folder: string): string[] =>
  readdirSync(folder)
    .filter((file) => file.endsWith(".safetensors"))
    .map((file) => join(folder, file));

/** Reads all models but the last and copies that one. */
export async function floor(models: readonly string[], out: string, flush: boolean): Promise<Run> {
  const read = models.slice(0, -1).flatMap(weights).join(" ");
  const copy = `mkdir -p ${out} && cp ${weights(models.at(-1)!).join(" ")} ${out}/`;
  return run("sh", ["-c", `cat ${read} > /dev/null && ${copy}${flush ? ` && sync ${out}/*` : ""}`], flush);
}

/** The command of a merge by a method of `METHODS`; the base is the first of `models` where there is one. */
export function mergeCommand(name: string, models: readonly string[], out: string): string[] {
  const { inputs, args } = METHODS[name]!;
  const used = models.slice(models.length - inputs);
  const [base, rest] = name === "linear" ? [[], used] : [["--base", used[0]!], used.slice(1)];
  return [MERGE, ...rest, ...base, "--method", name, ...args, "-o", `${out}/`, "--overwrite", "-q"];
}
