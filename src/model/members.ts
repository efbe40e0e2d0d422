/** Several adapters on one base whose answers are averaged, as the forward pass of one model. */
import { UserError } from "../errors.ts";
import { joinColumns, splitColumns } from "../tensor/ops/columns.ts";
import { mixedLogits } from "../tensor/ops/mixture.ts";
import type { Recorder } from "../tensor/recorder.ts";
import type { Tensor } from "../tensor/tensor.ts";
import type { LiveAdapter } from "./adapters/live-adapter.ts";
import type { Inputs, KvCache } from "./architecture.ts";

/** What a forward pass gives that is joined. */
interface Answer {
  readonly hidden: Tensor;
  readonly head: (rows: Tensor) => Tensor;
  readonly bounded: unknown;
}

/** The same memory with other layers: those of the member of this number. */
const ofMember = (cache: KvCache, member: number, layers: number): KvCache => ({
  ...cache,
  layer: (index, width) => cache.layer(index + member * layers, width),
  kept: (name, shape) => cache.kept(`${name} of ${member}`, shape),
});

const inputsOf = (inputs: Inputs, member: number, layers: number): Inputs =>
  member > 0 && "cache" in inputs && inputs.cache
    ? { ...inputs, cache: ofMember(inputs.cache, member, layers) }
    : inputs;

/**
 * Hidden states are those of all members side by side, (N, members C), and the head gives the mean of their
 * probabilities, or of a language model's logits; notes are those of the first. One member is recorded as it is.
 */
export function recordMembers<R extends Answer>(
  rec: Recorder,
  members: readonly LiveAdapter[],
  inputs: Inputs,
  {
    mean,
    layers,
    record,
  }: {
    readonly mean: "probabilities" | "logits";
    /** Of the model. */
    readonly layers: number;
    readonly record: (adapter: LiveAdapter, inputs: Inputs) => R;
  },
): R {
  const made = members.map((member, i) => record(member, inputsOf(inputs, i, layers)));
  const [first] = made;
  if (made.length === 1) return first!;
  const widths = made.map(({ hidden }) => hidden.shape.at(-1)!);
  const hidden = joinColumns(
    rec,
    made.map((member) => member.hidden),
  );
  return {
    ...first!,
    hidden,
    head(rows: Tensor) {
      const parts = splitColumns(rec, rows, widths);
      const shares = made.map(({ head }, i) => ({ logits: head(parts[i]!), weight: 1 / made.length }));
      return mixedLogits(rec, mean, shares);
    },
    bounded() {
      throw new UserError("bounds are of one network, and shards of a bank answer together", "name one model");
    },
  };
}
