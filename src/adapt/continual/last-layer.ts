/** The head of a classifier where it is one linear layer, for methods that write or train it by what it reads. */
import { UserError } from "../../errors.ts";
import type { Parameter } from "../../tensor/parameter.ts";
import type { Stream } from "./contract.ts";
import { headOf } from "./head.ts";
import { askRows } from "./outputs.ts";

/** W (classes, C), b (classes). */
export interface Head {
  readonly weight: Parameter;
  readonly bias: Parameter | undefined;
}

/** The last layer, for this method. Throws UserError where none is trained, or where the head is more than it. */
export async function lastLayer(stream: Stream<unknown>, method: string): Promise<Head> {
  const { model, dry } = stream;
  const weight = headOf(model, method);
  const name = weight.name.replace(/weight$/, "bias");
  const bias = model.trainable().find((parameter) => parameter.name === name) ?? model.parameters.get(name);
  const head = { weight, bias };
  if (dry || (await isLinear(stream, head))) return head;
  throw new UserError(
    `${method} needs a head of one layer, and that of this model does more to its features than ${weight.name}`,
    "take er or icarl, which leave the head to the training",
  );
}

/** Whether the logits of a row are those of this layer on what the head reads. */
async function isLinear(stream: Stream<unknown>, { weight, bias }: Head): Promise<boolean> {
  const { model, rows, gpu } = stream;
  const first = rows.of([0]).slice(0, 1);
  const [[x], [logits]] = [await askRows(stream, first, "features"), await askRows(stream, first, "logits")];
  const width = weight.shape[1]!;
  if (!x || !logits || width !== model.sizes.width) return false;
  const w = await gpu.readFloats(weight.buffer, weight.size);
  const b = bias && (await gpu.readFloats(bias.buffer, bias.size));
  const largest = logits.reduce((most, logit) => Math.max(most, Math.abs(logit)), 1e-3);
  return logits.every((logit, k) => {
    const own = w.subarray(k * width, (k + 1) * width).reduce((sum, value, i) => sum + value * x[i]!, b?.[k] ?? 0);
    return Math.abs(logit - own) < 1e-2 * largest;
  });
}
