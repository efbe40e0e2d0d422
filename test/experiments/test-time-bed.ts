/** Methods at test time on streams of corrupted digits: what experiments with different sources share. */
import type { Json } from "../../src/model/architecture.ts";
import { inLab } from "./curriculum-lab.ts";

export const [CANVAS, TRAIN, HELD, BATCH] = [10, 2000, 200, 16];

/** A source: its network, how it is trained, and the methods that go with it. */
export interface Source {
  readonly json: Json;
  readonly train: string;
  readonly methods: readonly string[];
}

/** What is told of each method; the first repetition of a recurring stream is a continual one. */
export const COLUMNS = ["continual", "gradual", "mixed", "recurring", "last − first", "clean after recurring"] as const;

interface Result {
  readonly method: string;
  readonly stream: string;
  readonly error: number;
  readonly collapse: number | null;
  readonly source_error: number;
  readonly repetitions: readonly { readonly error: number }[];
}

export const rowsOf = (sources: Readonly<Record<string, Source>>): string[] =>
  Object.entries(sources).flatMap(([net, { methods }]) => methods.map((method) => `${net}, ${method}`));

/** Figures `source, method: column` of one seed. */
export const runSources = (
  sources: Readonly<Record<string, Source>>,
  { seed, streams, rows }: { readonly seed: number; readonly streams: string; readonly rows: number },
): Promise<Record<string, number>> =>
  inLab(async (lab) => {
    const run = lab.script;
    const digits = `glyphs --canvas ${CANVAS} --shift 1 --seed ${seed}`;
    await run("data", `${digits} --size ${TRAIN} -o train.jsonl`);
    await run("data", `${digits} --split test --size ${HELD} -o held.jsonl`);
    const figures: Record<string, number> = {};
    for (const [net, { json, train, methods }] of Object.entries(sources)) {
      const fresh = lab.fresh(json);
      const source = `${fresh} --data train.jsonl ${train} --batch-size 50 --seed ${seed} --save-every 0`;
      await run("train", `${source} --overwrite -o source/`);
      const asked = `--test-time ${methods.join()} --stream ${streams} --domain-rows ${rows} --batch-size ${BATCH}`;
      const text = await run(
        "evaluate",
        `stream source/ --data held.jsonl --source train.jsonl ${asked} --shape 1,${CANVAS},${CANVAS} --seed ${seed} --views 4 --warmup-rows 2000 --rank-high 16 --json`,
      );
      const { results } = JSON.parse(text) as { readonly results: readonly Result[] };
      for (const { method, stream, error, collapse, source_error: clean, repetitions } of results) {
        const row = `${net}, ${method}`;
        figures[`${row}: ${stream}`] = error;
        if (stream !== "recurring") continue;
        figures[`${row}: continual`] = repetitions[0]!.error;
        figures[`${row}: last − first`] = collapse!;
        figures[`${row}: clean after recurring`] = clean;
      }
    }
    return figures;
  });
