/**
 * An aggregator as one file of tensors: its weights, how many heads it has, and the rate of the step that it is for.
 */
import type { LineageEntry } from "../../checkpoint/checkpoint.ts";
import { decodeFloats } from "../../checkpoint/decode.ts";
import { openPlain } from "../../checkpoint/open.ts";
import { writeArrays } from "../../checkpoint/write/write-arrays.ts";
import { UserError } from "../../errors.ts";
import { constant, type Value } from "../../tensor/twice/value.ts";
import { type AggregatorForm, aggregatorSpecs } from "./aggregator.ts";
import type { Weights } from "./pass.ts";

export interface StoredAggregator {
  readonly weights: Weights;
  readonly form: AggregatorForm;
  readonly rate: number;
}

/** Writes f32. */
export async function saveAggregator(
  out: string,
  { weights, form, rate }: StoredAggregator,
  lineage: readonly LineageEntry[],
): Promise<void> {
  const arrays = [
    ...aggregatorSpecs(form).map(({ name, shape }) => ({ name, shape, values: weights.get(name)!.data })),
    { name: "heads", shape: [1], values: [form.heads] },
    { name: "inner_lr", shape: [1], values: [rate] },
  ];
  await writeArrays(
    out,
    arrays.map(({ name, shape, values }) => ({ name, shape, values: Float32Array.from(values) })),
    lineage,
  );
}

/** Reads one. Throws UserError for a file that holds something else. */
export async function readAggregator(ref: string): Promise<StoredAggregator> {
  const checkpoint = await openPlain(ref);
  try {
    const found = new Map<string, Value>();
    for (const { name, shape, dtype, bytes, read } of checkpoint.tensors.values()) {
      const own = new Uint8Array(bytes);
      await read(own, 0);
      if (dtype === "F32") found.set(name, constant(Float64Array.from(decodeFloats(own, dtype)), shape));
    }
    const [heads, rate, head] = [found.get("heads"), found.get("inner_lr"), found.get("head.weight")];
    const [classes = 0, width = 0] = head?.shape ?? [];
    const form = { width, classes, heads: heads?.data[0] ?? 0 };
    const fits = aggregatorSpecs(form).every(({ name, shape }) => found.get(name)?.shape.join() === shape.join());
    if (!rate || !(form.heads >= 1) || width % form.heads !== 0 || !fits)
      throw new UserError(
        `${ref} is no aggregator of experts`,
        "bun run distill domains writes one beside the student",
      );
    return { weights: found, form, rate: rate.data[0]! };
  } finally {
    checkpoint.close();
  }
}
