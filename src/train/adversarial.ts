/** `train --adversarial`: adversarial training of Madry et al., ICLR 2018, https://arxiv.org/abs/1706.06083 */
import type { ExampleBatch } from "../data/batch.ts";
import type { Example } from "../data/examples.ts";
import { UserError } from "../errors.ts";
import type { Values } from "../method/options.ts";
import type { Model } from "../model/model.ts";
import { adversarialBatches, prepareAdversary } from "../run/adversarial/adversarial-batches.ts";
import { Adversary } from "../run/adversarial/adversary.ts";
import { attackOf } from "../run/adversarial/options.ts";
import { recordOutputs } from "../run/scoring/recorded-outputs.ts";
import type { BatchSource } from "../run/training/batch-source.ts";
import type { TRAIN } from "./options.ts";

/** Batches of a classifier of numbers, whose rows are at hand. */
type ExampleSource = BatchSource<ExampleBatch> & { readonly examples: readonly Example[] };

/** The part of a training that moves inputs; nothing where --adversarial is not given. Throws UserError for texts. */
export async function adversarialWork(
  model: Model,
  source: ExampleSource | object,
  options: Values<typeof TRAIN>,
  seed: number,
): Promise<{ source: BatchSource<ExampleBatch>; memory: Readonly<Record<string, number>>; free(): void } | undefined> {
  if (!options.adversarial) return undefined;
  const examples = "examples" in source ? source.examples : [];
  const numbers = examples.flatMap((example) => ("x" in example ? [example] : []));
  if (!("examples" in source) || numbers.length < examples.length)
    throw new UserError("--adversarial moves numbers, and the model reads texts", "leave it out");
  const share = options.adversarial_share;
  const logits = (rec: Parameters<typeof recordOutputs>[0], inputs: Parameters<typeof recordOutputs>[1]) =>
    recordOutputs(rec, inputs, model, undefined)(0);
  const adversary = new Adversary(model.gpu, logits, attackOf(options, numbers, seed));
  await prepareAdversary(source, adversary, { share });
  return {
    source: adversarialBatches(source, adversary, { share }),
    memory: { adversary: adversary.bytes },
    free: () => adversary.free(),
  };
}
