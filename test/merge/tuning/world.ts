/** Small models in memory whose merges learn from rows of a file: a base, and models near it. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Checkpoint } from "../../../src/checkpoint/checkpoint.ts";
import type { Dtype } from "../../../src/checkpoint/dtype.ts";
import { referenceKey } from "../../../src/checkpoint/reference.ts";
import type { Gpu } from "../../../src/gpu/gpu.ts";
import type { MergeMethod } from "../../../src/merge/contract.ts";
import { recipeFromArguments } from "../../../src/merge/plan/arguments.ts";
import { planMerge } from "../../../src/merge/plan/merge-plan.ts";
import type { TuneRun, TuneSettings } from "../../../src/merge/tuning/subject.ts";
import type { Json } from "../../../src/model/architecture.ts";
import { describeConfig } from "../../../src/model/description.ts";
import { sizeOf } from "../../../src/tensor/tensor.ts";
import { entryOf } from "../../support/entry.ts";
import { normals } from "../../support/random.ts";

/** A language model of odd sizes. */
export const LLAMA: Json = {
  model_type: "llama",
  ...{ hidden_size: 12, intermediate_size: 20, num_hidden_layers: 2, num_attention_heads: 2, vocab_size: 11 },
  ...{ max_position_embeddings: 16, tie_word_embeddings: false },
};

/** A classifier of five numbers. */
export const mlp = (classes: number): Json => ({
  ...{ model_type: "mlp", input_size: 5, hidden_sizes: [9, 6], hidden_act: "gelu", num_labels: classes },
});

const hash = (text: string): number => Number(Bun.hash.xxHash32(text) % 100_000);

/** Values by name: the base's, and `change` times other numbers that a model's own seed draws. */
export async function checkpointOf(
  ref: string,
  json: Json,
  { change = 0, seed = 1, dtype = "F32" }: { change?: number; seed?: number; dtype?: Dtype } = {},
): Promise<Checkpoint> {
  const { architecture, config } = await describeConfig(json, ref);
  const entries = architecture.parameters(config).map(({ name, shape }) => {
    const own = normals(hash(name), sizeOf(shape), 0.4);
    const moved = normals(seed * 1000 + hash(name), sizeOf(shape), change);
    return entryOf(
      name,
      dtype,
      shape,
      Float32Array.from(own, (value, i) => value + moved[i]!),
    );
  });
  return {
    ...{ ref, kind: "folder", lineage: [], headerSha256: "" },
    tensors: new Map(entries.map((entry) => [entry.name, entry])),
    files: new Map([["config.json", new TextEncoder().encode(JSON.stringify(json))]]),
    close() {},
  };
}

export interface Learner {
  readonly base: Checkpoint;
  readonly models: readonly Checkpoint[];
  readonly method: MergeMethod;
  /** Values of the method's options, as typed. */
  readonly values?: Readonly<Record<string, string>>;
  readonly tune: Partial<TuneSettings>;
  readonly own?: (name: string) => boolean;
}

/** What learns. */
export async function learner(gpu: Gpu, { base, models, method, values = {}, tune, own }: Learner): Promise<TuneRun> {
  const recipe = recipeFromArguments({
    ...{ models: models.map(({ ref }) => ref), base: base.ref, method },
    values: new Map(Object.entries(values)),
  });
  const opened = new Map([base, ...models].map((one) => [referenceKey({ path: one.ref }), one]));
  return {
    plan: await planMerge(recipe, opened, method, own ? { own } : {}),
    method,
    settings: { seed: 3, compatRounding: false, compatBugs: false },
    tune: { data: [], batch: 8, offload: false, ...tune },
    own,
    openGpu: async () => gpu,
    signal: new AbortController().signal,
    warn: () => {},
  };
}

/** Rows in files of a folder of their own. */
export class Rows implements Disposable {
  readonly folder = mkdtempSync(join(tmpdir(), "ingot-tuning-"));

  /** Writes rows; gives what `--tune-data` takes. */
  write(name: string, rows: readonly object[]): string {
    const file = join(this.folder, `${name}.jsonl`);
    writeFileSync(file, rows.map((row) => `${JSON.stringify(row)}\n`).join(""));
    return `${name}=${file}`;
  }

  /** Rows of tokens below `vocabulary`. */
  tokens(name: string, vocabulary: number, seed: number): string {
    const draw = normals(seed, 20 * 9, 7);
    const id = (x: number) => Math.floor(Math.abs(x)) % vocabulary;
    return this.write(
      name,
      Array.from({ length: 20 }, (_, row) => ({ input_ids: [...draw.subarray(9 * row, 9 * row + 9)].map(id) })),
    );
  }

  /** Rows of five numbers without labels. */
  numbers(name: string, seed: number): string {
    const draw = normals(seed, 24 * 5, 1);
    return this.write(
      name,
      Array.from({ length: 24 }, (_, row) => ({ x: [...draw.subarray(5 * row, 5 * row + 5)] })),
    );
  }

  [Symbol.dispose](): void {
    rmSync(this.folder, { recursive: true });
  }
}
