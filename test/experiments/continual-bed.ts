/**
 * Beds for learning one task after another: a stream from `data --stream`, a small model, and every continual method on
 * both, as `adapt --tasks` runs it. A method that lands joins by itself.
 */
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { methodNames } from "../../src/method/registry.ts";
import type { ContinualMetrics } from "../../src/run/continual/matrix.ts";
import { runScript } from "../support/command.ts";
import { inLab, type Lab } from "./curriculum-lab.ts";
import type { Bound, Experiment } from "./experiment.ts";

export interface Bed {
  /** Arguments of `data` for the stream of a seed. */
  readonly stream: (seed: number) => string;
  readonly config: Readonly<Record<string, unknown>>;
  /** Options of every run of `adapt`. */
  readonly line: string;
  /** Options of single methods, which the experiment tells. */
  readonly settings?: Readonly<Record<string, string>>;
  /** What a task is scored by. */
  readonly score: "accuracy" | "loss";
}

/** What one method does on a bed. */
export interface BedRun {
  readonly metrics: ContinualMetrics;
  /** Bytes that the method keeps beside the model. */
  readonly memory: number;
  /** Of the whole command. */
  readonly seconds: number;
}

interface AdaptResult {
  readonly metrics: Readonly<Partial<Record<Bed["score"], ContinualMetrics>>>;
  readonly memory: Readonly<Record<string, number>>;
}

const words = (line: string) => line.split(" ").filter((word) => word !== "");

/** Writes the stream and the config of a seed; gives the options that name them. */
async function layOut(lab: Lab, { stream, config }: Bed, seed: number): Promise<string> {
  const made = await runScript("data", [...words(stream(seed)), "--seed", `${seed}`, "-q", "-o", "stream"], lab.folder);
  if (made.code !== 0) throw new Error(made.err);
  writeFileSync(join(lab.folder, "config.json"), JSON.stringify(config));
  const files = (folder: string) => {
    const names = readdirSync(join(lab.folder, folder)).filter((name) => name.endsWith(".jsonl"));
    return names
      .sort((a, b) => Number(a.match(/\d+/)) - Number(b.match(/\d+/)))
      .map((name) => `${folder}/${name}`)
      .join(",");
  };
  return `--init config.json --tasks ${files("stream")} --eval-tasks ${files("stream/test")}`;
}

/** Runs methods one after the other on one stream; undefined for one that refuses the bed, with its reason on stderr. */
export function runBed(bed: Bed, seed: number, methods: readonly string[]): Promise<Map<string, BedRun>> {
  return inLab(async (lab) => {
    const common = "--save-every 0 --json -q --overwrite -o out.safetensors";
    const usual = `${await layOut(lab, bed, seed)} --seed ${seed} ${common}`;
    const found = new Map<string, BedRun>();
    for (const method of methods) {
      const line = `${usual} ${bed.line} --method ${method} ${bed.settings?.[method] ?? ""}`;
      const began = performance.now();
      const { code, text, err } = await runScript("adapt", words(line), lab.folder);
      if (code === 2) process.stderr.write(`${method} refuses this bed: ${err}`);
      else if (code !== 0) throw new Error(`adapt ${line}\n${err}`);
      if (code !== 0) continue;
      const result = JSON.parse(text) as AdaptResult;
      found.set(method, {
        metrics: result.metrics[bed.score]!,
        memory: Object.values(result.memory).reduce((sum, bytes) => sum + bytes, 0),
        seconds: (performance.now() - began) / 1000,
      });
    }
    return found;
  });
}

const COLUMNS = ["average", "forgetting", "forward transfer", "memory, kB", "time / seq"] as const;

/** The figures of a bed's table, by method and column. Those that a method does not have are left out. */
export function bedFigures(runs: ReadonlyMap<string, BedRun>, score: Bed["score"]): Record<string, number> {
  const seconds = runs.get("seq")?.seconds;
  const figures: Record<string, number> = {};
  const put = (row: string, column: (typeof COLUMNS)[number], value: number | undefined) => {
    if (value !== undefined) figures[`${row}: ${column}`] = value;
  };
  for (const [method, { metrics, memory, seconds: own }] of runs) {
    put(method, "average", metrics.average);
    put(method, "forgetting", metrics.forgetting);
    put(method, "forward transfer", metrics.forward_transfer);
    put(method, "memory, kB", memory / 1000);
    put(method, "time / seq", seconds && own / seconds);
  }
  const average = (method: string) => runs.get(method)?.metrics.average;
  for (const [better, worse] of PAIRS) {
    const [a, b] = [average(better), average(worse)];
    if (a !== undefined && b !== undefined)
      put(`${better} beside ${worse}`, "average", score === "accuracy" ? a - b : b - a);
  }
  return figures;
}

/** What should be better than what. */
const PAIRS = [
  ["joint", "seq"],
  ["ewc", "seq"],
  ["er", "seq"],
  ["joint", "er"],
] as const;

export type BedBounds = Readonly<Record<string, Bound>>;

/** The experiment of a bed: all methods that there are. `bounds` are those of figures by row and column. */
export function bedExperiment(given: {
  readonly title: string;
  readonly about: string;
  readonly bed: Bed;
  readonly bounds: BedBounds;
}): Experiment {
  const { title, about, bed, bounds } = given;
  const methods = methodNames("continual");
  const rows = ["seq", "joint", ...methods.filter((name) => name !== "seq" && name !== "joint")];
  const names = [
    ...rows.flatMap((row) => COLUMNS.map((column) => `${row}: ${column}`)),
    ...PAIRS.map(([better, worse]) => `${better} beside ${worse}: average`),
  ];
  return {
    title,
    about,
    columns: COLUMNS,
    seeds: [1, 2, 3, 4, 5],
    tested: 1,
    long: true,
    figures: Object.fromEntries(names.map((name) => [name, bounds[name] ?? {}])),
    run: async (seed) => bedFigures(await runBed(bed, seed, rows), bed.score),
  };
}
