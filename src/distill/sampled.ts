/**
 * Batches whose completions a model samples: the student's own for on-policy distillation (GKD, arXiv:2306.13649), the teacher's for
 * sequence-level distillation (arXiv:1606.07947).
 *
 * A row's prompt is what comes before its first label; of a plain text its first tokens. Which batches are sampled, and the samples, are
 * functions of (seed, place of the batch), so a resumed run draws the same.
 */
import { collate, type TokenBatch } from "../data/batch.ts";
import { Random } from "../data/random.ts";
import type { Model } from "../model/model.ts";
import { answered, promptOf } from "../run/generating/answers.ts";
import { Generator } from "../run/generating/generate.ts";
import { GREEDY } from "../run/generating/sampling.ts";
import type { BatchSource } from "../run/training/batch-source.ts";

export interface SampledOptions {
  readonly seed: number;
  /** Tells draws of one model from those of another. */
  readonly whose: string;
  /** Share of batches whose completions are sampled. */
  readonly share: number;
  readonly temperature: number;
  readonly maxTokens: number;
  /** Tokens of a plain text that are its prompt. */
  readonly promptTokens: number;
  /** Longest row. */
  readonly maxLength: number;
  readonly pad: number;
  readonly eos: number | undefined;
}

/** `model` is asked for at the first sample. */
export function sampledBatches(
  source: BatchSource<TokenBatch>,
  model: () => Model,
  options: SampledOptions,
): BatchSource<TokenBatch> {
  const { seed, whose, share, temperature, maxTokens, promptTokens, maxLength, pad, eos } = options;
  let generator: Generator | undefined;
  return {
    ...source,
    groups: source.groups,
    batchesPerEpoch: source.batchesPerEpoch,
    largest() {
      const given = source.largest();
      const [longest] = given.documents;
      if (!longest) return given;
      const length = Math.min(maxLength, longest.sequence.ids.length + maxTokens);
      const row = { ...longest.sequence, ids: new Int32Array(length), labels: new Int32Array(length) };
      return collate(
        Array.from({ length: given.rows }, () => [row]),
        { pad },
      );
    },
    async next() {
      const { epoch: e, batch: b } = source.state();
      const place = `${e}.${b}`;
      const drawn = await source.next();
      if (new Random(seed, `${whose} samples`, place).uniform() >= share) return drawn;
      generator ??= new Generator(model());
      const { documents } = drawn.batch;
      const prompts = documents.map(({ sequence }) => promptOf(sequence, promptTokens));
      const room = Math.min(maxTokens, maxLength - Math.max(...prompts.map(({ length }) => length)) - 1);
      const completions = await generator.complete(
        prompts.map((prompt) => [...prompt]),
        {
          ...GREEDY,
          temperature,
          seed,
          keys: prompts.map((_, i) => `${whose}.${place}.${i}`),
          maxTokens: Math.max(1, room),
          stop: eos === undefined ? [] : [eos],
          batch: prompts.length,
        },
      );
      const rows = documents.map(({ sequence }, i) => {
        const ended = eos !== undefined && completions[i]!.length < room;
        return [answered(sequence, prompts[i]!, ended ? [...completions[i]!, eos] : completions[i]!)];
      });
      return { ...drawn, batch: collate(rows, { pad }) };
    },
  };
}
