/**
 * How a mixture's routers send the tokens of rows: how often each expert is among a token's k, how alike the logits of
 * two experts are over all tokens, and what share of the probability the k have. Padding does not count.
 */
import type { TokenBatch } from "../../data/batch.ts";
import { UserError } from "../../errors.ts";
import type { Model } from "../../model/model.ts";
import { sigmoid } from "../../tensor/ops/elementwise.ts";
import { linear } from "../../tensor/ops/linear.ts";
import { fillInputs, recordInputs } from "../batch-programs.ts";
import { Programs } from "../programs.ts";

const SHARED_GATE = /^model\.layers\.(\d+)\.mlp\.shared_expert_gate$/;

export interface LayerRouting {
  /** Share of the token-slots of each expert; they sum to 1. */
  readonly usage: Float64Array;
  /** (E, E): products of the experts' logits, summed over tokens. */
  readonly products: Float64Array;
  /** Mean over tokens of the k largest probabilities' sum. */
  readonly mass: number;
  /** Mean over tokens of what the gate of a shared expert lets through; undefined without one. */
  readonly open?: number;
}

interface Routers {
  readonly experts: number;
  readonly k: number;
  /** Whether a shared expert has a gate. */
  readonly gated: boolean;
}

interface Sums {
  readonly counts: Float64Array;
  readonly products: Float64Array;
  mass: number;
  open: number;
}

/** Adds a token's logits. Of equal logits the first expert comes first, as in the router. */
function addToken(sums: Sums, logits: Float32Array, k: number): void {
  const experts = logits.length;
  const order = Array.from(logits, (_, e) => e).sort((a, b) => logits[b]! - logits[a]! || a - b);
  const most = logits[order[0]!]!;
  let [chosen, all] = [0, 0];
  for (const [rank, e] of order.entries()) {
    const share = Math.exp(logits[e]! - most);
    all += share;
    if (rank >= k) continue;
    chosen += share;
    sums.counts[e]!++;
  }
  sums.mass += chosen / all;
  for (let a = 0; a < experts; a++)
    for (let b = 0; b < experts; b++) sums.products[a * experts + b]! += logits[a]! * logits[b]!;
}

/**
 * Measures on batches, by layer from 0; layers without experts are left out. Throws UserError where a router scores by
 * sigmoid, whose choice depends on more than its logits. Host memory: (E, E) values a layer, and a batch's logits.
 */
export async function measureRouting(
  model: Model,
  batches: readonly TokenBatch[],
  { signal, done }: { readonly signal: AbortSignal; readonly done?: () => void },
): Promise<ReadonlyMap<number, LayerRouting>> {
  const programs = new Programs<ReadonlyMap<number, Routers>>(model.gpu);
  const found = new Map<number, Sums>();
  let tokens = 0;
  for (const batch of batches) {
    signal.throwIfAborted();
    const key = `${batch.rows}x${batch.length}${batch.packed ? " packed" : ""}`;
    const { program, recorded } = await programs.get(key, (rec) => {
      const gated = new Set<number>();
      const { hidden, routed } = model.record(rec, recordInputs(rec, batch), {
        observe(module, x) {
          const layer = SHARED_GATE.exec(module)?.[1];
          if (layer === undefined) return;
          const weight = rec.parameter(model.parameters.get(`${module}.weight`)!);
          rec.output(`open ${layer}`, sigmoid(rec, linear(rec, x, weight))); // (N, 1)
          gated.add(Number(layer));
        },
      });
      for (const [layer, { logits }] of routed) rec.output(`logits ${layer}`, logits);
      rec.output("hidden", hidden);
      if ([...routed.values()].some(({ scoring }) => scoring === "sigmoid"))
        throw new UserError(
          `the routers of a ${model.architecture.name} choose by more than their logits, which is not measured here`,
          "mixtures whose routers are a softmax can be measured",
        );
      return new Map(
        [...routed].map(([layer, { logits, k }]) => [layer, { experts: logits.shape[1]!, k, gated: gated.has(layer) }]),
      );
    });
    fillInputs(program, batch);
    program.run();
    for (const [layer, { experts, k, gated }] of recorded) {
      const sums = found.get(layer) ?? {
        counts: new Float64Array(experts),
        products: new Float64Array(experts * experts),
        mass: 0,
        open: gated ? 0 : Number.NaN,
      };
      found.set(layer, sums);
      const logits = await program.read(`logits ${layer}`);
      const open = gated ? await program.read(`open ${layer}`) : undefined;
      for (const [row, length] of batch.lengths.entries())
        for (let i = row * batch.length; i < row * batch.length + length; i++) {
          addToken(sums, logits.subarray(i * experts, (i + 1) * experts) as Float32Array, k);
          if (open) sums.open += open[i]!;
        }
    }
    tokens += batch.lengths.reduce((sum, length) => sum + length, 0);
    done?.();
  }
  programs.free();
  return new Map(
    [...found].map(([layer, { counts, products, mass, open }]) => {
      const slots = counts.reduce((a, b) => a + b, 0);
      return [
        layer,
        {
          usage: counts.map((count) => count / slots),
          products,
          mass: mass / tokens,
          ...(open >= 0 && { open: open / tokens }),
        },
      ];
    }),
  );
}
