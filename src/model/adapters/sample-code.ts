/**
 * The mean over the tokens of a sequence that a token sees, itself among them: all of them in a classifier, those so
 * far in a causal model. It is attention whose scores are all 0, so that padding, packed rows and a cache are as there.
 */
import { attention } from "../../tensor/ops/attention.ts";
import { attentionCached, cacheWrite } from "../../tensor/ops/kv-cache.ts";
import type { Recorder } from "../../tensor/recorder.ts";
import { rowsOf, type Tensor } from "../../tensor/tensor.ts";
import type { Inputs } from "../architecture.ts";

/** x (N, W) -> (N, W). `name` names what a cache keeps of it. */
export function meanOfSeen(rec: Recorder, inputs: Inputs, x: Tensor, name: string): Tensor {
  const { batch } = inputs;
  const { rows, width } = rowsOf(x);
  const heads = { heads: 1, kvHeads: 1, headDim: width };
  const none = rec.constant(new Float32Array(rows * width), [rows, width], "scores of 0");
  if ("cache" in inputs && inputs.cache) {
    const { capacity } = inputs.cache;
    const kept = inputs.cache.kept(name, [batch, capacity, width]);
    cacheWrite(rec, x, kept, inputs.positions, { batch, capacity });
    return attentionCached(rec, none, kept, kept, inputs.positions, { batch, capacity, ...heads });
  }
  const segments = "ids" in inputs && inputs.segments ? { segments: inputs.segments } : {};
  return attention(rec, none, none, x, { batch, causal: "positions" in inputs, ...segments, ...heads });
}
