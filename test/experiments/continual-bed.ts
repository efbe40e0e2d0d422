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
  /** Bytes on the GPU that the method keeps beside the model, and rows that it keeps of tasks that are over. */
  readonly memory: number;
  readonly rows: number;
  /** Of the whole command. */
  readonly seconds: number;
}

interface AdaptResult {
  readonly metrics: Readonly<Partial<Record<Bed["score"], ContinualMetrics>>>;
  readonly memory: Readonly<Record<string, number>>;
  readonly buffer?: number;
}

const words = (line: string) => line.split(" ").filter((word) => word !== "");

/** A stream of a seed and the runs of `adapt` on it, one after the other. */
export class BedLab {
  readonly #lab: Lab;
  readonly #bed: Bed;
  readonly #seed: number;
  /** Names of the files of tasks, in their order. */
  readonly #tasks: readonly string[];

  private constructor(lab: Lab, bed: Bed, seed: number, tasks: readonly string[]) {
    this.#lab = lab;
    this.#bed = bed;
    this.#seed = seed;
    this.#tasks = tasks;
  }

  get tasks(): number {
    return this.#tasks.length;
  }

  /** Makes the stream and lets `work` run on it. */
  static on<T>(bed: Bed, seed: number, work: (lab: BedLab) => Promise<T>): Promise<T> {
    return inLab(async (lab) => {
      const argv = [...words(bed.stream(seed)), "--seed", `${seed}`, "-q", "-o", "stream"];
      const made = await runScript("data", argv, lab.folder);
      if (made.code !== 0) throw new Error(made.err);
      writeFileSync(join(lab.folder, "config.json"), JSON.stringify(bed.config));
      const tasks = readdirSync(join(lab.folder, "stream")).filter((name) => name.endsWith(".jsonl"));
      tasks.sort((a, b) => Number(a.match(/\d+/)) - Number(b.match(/\d+/)));
      return work(new BedLab(lab, bed, seed, tasks));
    });
  }

  /** Learns the stream, or one of its tasks; undefined, with the reason on stderr, where the method refuses the bed. */
  async run(method: string, options = "", task?: number): Promise<BedRun | undefined> {
    const tasks = task === undefined ? this.#tasks : [this.#tasks[task]!];
    const files = (folder: string) => tasks.map((name) => `${folder}/${name}`).join(",");
    const data = `--init config.json --tasks ${files("stream")} --eval-tasks ${files("stream/test")}`;
    const common = `--seed ${this.#seed} --save-every 0 --json -q --overwrite -o out.safetensors`;
    const line = `${data} ${common} ${this.#bed.line} --method ${method} ${options}`;
    const began = performance.now();
    const { code, text, err } = await runScript("adapt", words(line), this.#lab.folder);
    if (code === 2) process.stderr.write(`${method} refuses this bed: ${err}`);
    else if (code !== 0) throw new Error(`adapt ${line}\n${err}`);
    if (code !== 0) return undefined;
    const result = JSON.parse(text) as AdaptResult;
    return {
      metrics: result.metrics[this.#bed.score]!,
      memory: Object.values(result.memory).reduce((sum, bytes) => sum + bytes, 0),
      rows: result.buffer ?? 0,
      seconds: (performance.now() - began) / 1000,
    };
  }
}

/** Runs methods on one stream; those that refuse the bed are left out. */
export const runBed = (bed: Bed, seed: number, methods: readonly string[]): Promise<Map<string, BedRun>> =>
  BedLab.on(bed, seed, async (lab) => {
    const found = new Map<string, BedRun>();
    for (const method of methods) {
      const run = await lab.run(method, bed.settings?.[method]);
      if (run) found.set(method, run);
    }
    return found;
  });

const COLUMNS = ["average", "forgetting", "forward transfer", "memory, kB", "rows kept", "time / seq"] as const;

/** The figures of a bed's table, by method and column. Those that a method does not have are left out. */
export function bedFigures(runs: ReadonlyMap<string, BedRun>, score: Bed["score"]): Record<string, number> {
  const seconds = runs.get("seq")?.seconds;
  const figures: Record<string, number> = {};
  const put = (row: string, column: (typeof COLUMNS)[number], value: number | undefined) => {
    if (value !== undefined) figures[`${row}: ${column}`] = value;
  };
  for (const [method, { metrics, memory, rows, seconds: own }] of runs) {
    put(method, "average", metrics.average);
    put(method, "forgetting", metrics.forgetting);
    put(method, "forward transfer", metrics.forward_transfer);
    put(method, "memory, kB", memory / 1000);
    put(method, "rows kept", rows);
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
