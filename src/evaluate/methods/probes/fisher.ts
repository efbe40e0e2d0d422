/**
 * How much a model's predictions hang on each of its weights: the diagonal of its Fisher information on rows, which
 * `merge --method fisher` weighs models by. Matena and Raffel, NeurIPS 2022, https://arxiv.org/abs/2111.09832
 *
 * A file has a tensor for every tensor of the checkpoint that the model reads, under its name and in its shape: stacks
 * of experts are written expert by expert where the checkpoint stores them so. The table says how large it is: the
 * trace, the sum over all weights, and the norm, the root of the sum of squares, by which `merge` balances models.
 */

import { tryTarget } from "../../../checkpoint/write/try-target.ts";
import { createWriter } from "../../../checkpoint/write/write.ts";
import type { Batch } from "../../../data/batch.ts";
import { permutation } from "../../../data/shuffle.ts";
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { checkExact, type FisherLabels, measureFisher } from "../../../run/fisher/fisher.ts";
import { readPieces, type SquaredGradients } from "../../../run/fisher/squared-gradients.ts";
import type { LoadedModel } from "../../../run/measuring/loaded-model.ts";
import { sizeOf } from "../../../tensor/tensor.ts";
import { defineTechnique, type TechniqueSetup } from "../../technique.ts";

const OPTIONS = {
  fisher_save: {
    type: "string",
    writes: "tensors",
    help: "write the information of the model to this file, for merge --method fisher --stats",
    value: "FILE.safetensors",
  },
  fisher_labels: {
    type: "'exact' | 'sampled' | 'empirical'",
    help: "every output at its probability, one drawn by the model, or the rows' own; exact for a classifier, else sampled",
  },
  fisher_rows: { type: "number.integer >= 1", help: "rows, drawn by seed; all when left out", value: "K" },
} as const;

type Setup = TechniqueSetup<typeof OPTIONS>;

/** Rows that count somewhere, a batch each: all, or as many as are asked for. */
async function rowsOf(loaded: LoadedModel, { groups, values, seed }: Setup): Promise<Batch[]> {
  const { batches } = await readBatches(groups, loaded, 1);
  const counted = batches.filter(({ counted }) => counted > 0);
  const { fisher_rows: count = counted.length } = values;
  if (count > counted.length)
    throw new UserError(`--fisher-rows ${count}: there are ${counted.length} rows`, "ask for fewer, or give more rows");
  return Array.from(permutation(counted.length, seed, 0, "fisher rows").subarray(0, count).toSorted(), (i) => {
    return counted[i]!;
  });
}

/** Tensors of the checkpoint that are measured, with their part of the sums. */
const measured = ({ stored }: Model, { of }: SquaredGradients) =>
  stored.flatMap(({ name, shape, parameter, start }) => {
    const held = of.get(parameter);
    return held ? [{ name, shape, start, held }] : [];
  });

/** Trace and norm; writes the file, if there is to be one. */
async function readOut(model: Model, sums: SquaredGradients, save: string | undefined) {
  const tensors = measured(model, sums);
  const infos = tensors.map(({ name, shape }) => ({ name, shape, dtype: "F32" as const, bytes: 4 * sizeOf(shape) }));
  const writer =
    save === undefined ? undefined : await createWriter(save, { tensors: infos, files: new Map(), lineage: [] });
  let [trace, squares] = [0, 0];
  try {
    for (const { name, shape, start, held } of tensors) {
      for await (const piece of readPieces(model.gpu, held.buffer, sizeOf(shape), start)) {
        for (const value of piece) {
          trace += value;
          squares += value * value;
        }
        await writer?.write(name, new Uint8Array(piece.buffer, piece.byteOffset, piece.byteLength));
      }
    }
    await writer?.finish();
  } catch (error) {
    await writer?.abort();
    throw error;
  }
  return { trace, norm: Math.sqrt(squares), tensors: tensors.length };
}

export const method = defineTechnique({
  name: "fisher",
  title: "Fisher information",
  about: "diagonal Fisher information of every weight, written for merge --method fisher",
  cite: "arXiv:2111.09832",
  metrics: [],
  options: OPTIONS,
  laws: { reproducible: true, companions: true },

  check({ values, models }) {
    if (values.fisher_save === undefined) return;
    if (models > 1)
      throw new UserError(`--fisher-save is one file, and there are ${models} models`, "measure one model at a time");
    if (!values.fisher_save.endsWith(".safetensors"))
      throw new UserError(`--fisher-save ${values.fisher_save} does not end with .safetensors`, "name such a file");
  },

  async run(setup) {
    const { values, candidates, quantize, loader, seed, signal } = setup;
    const { fisher_save: save } = values;
    if (save !== undefined) await tryTarget(save);
    const rows: { model: string; labels: FisherLabels; rows: number; trace: number; norm: number; tensors: number }[] =
      [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { trained: true, bits: quantize });
      const { model, ref } = loaded;
      const batches = await rowsOf(loaded, setup);
      const labels = values.fisher_labels ?? (loaded.tools ? "sampled" : "exact");
      if (labels === "exact") checkExact(batches, model.sizes.outputs);
      if (i === 0) loader.begin(candidates.length * batches.length, "rows");
      const sums = await measureFisher(model, batches, { labels, seed, signal, done: () => loader.tick(ref) });
      rows.push({ model: ref, labels, rows: batches.length, ...(await readOut(model, sums, save)) });
      sums.free();
      await loaded.free();
    }
    const header = ["model", "labels", "rows", "trace", "norm", "tensors"];
    return {
      table: [header, ...rows.map((row) => [row.model, row.labels, row.rows, row.trace, row.norm, row.tensors])],
      json: { rows },
    };
  },
});
