/**
 * Masks of units by how much they matter to what a model says, for `--softmask`: what matters is held back while the
 * rest learns. CoFiTune, ACL Findings 2024, https://arxiv.org/abs/2404.10306. How it is measured: unit-masks.ts.
 *
 * The file has a mask per row (or column) of the matrices that make inner units and outputs of feed-forward networks,
 * and of those that make queries, keys and values, all rows of a head alike. Of several models there is a table alone.
 */
import { tryTarget } from "../../../checkpoint/write/try-target.ts";
import { createWriter } from "../../../checkpoint/write/write.ts";
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { readBatches } from "../../../run/batches-in-order.ts";
import { headCounts, makesHeads, overRows } from "../../../run/fisher/attention-heads.ts";
import { blockWeights } from "../../../run/fisher/layer-importance.ts";
import { gatedWeights, KINDS, type Kind, measureUnits, type UnitMask } from "../../../run/fisher/unit-masks.ts";
import { matrixOf } from "../../../run/fisher/unit-products.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { defineTechnique } from "../../technique.ts";

/** A mask as it is written: a value per row or column of a stored tensor. */
interface Written {
  readonly name: string;
  readonly shape: readonly number[];
  readonly values: Float32Array;
}

/** Masks along the lines of a weight, tensor by tensor as the checkpoint stores it. */
function written({ stored }: Model, parameter: Parameter, along: "row" | "column", lines: Float32Array): Written[] {
  const { columns } = matrixOf(parameter.shape);
  return stored
    .filter((tensor) => tensor.parameter === parameter)
    .map(({ name, shape, start }) => {
      const isVector = shape.length < 2;
      const first = along === "row" ? start / columns : 0;
      const count = along === "row" ? matrixOf(shape).rows : columns;
      const own = shape.map((n, axis) => (isVector || (axis === shape.length - 1) === (along === "column") ? n : 1));
      return { name, shape: own, values: lines.slice(first, first + count) };
    });
}

/** What a mask says of the lines of its weight; of a matrix of gates and values it is that of the second half. */
const linesOf = ({ weight, along, mask }: UnitMask): Float32Array => {
  const { rows, columns } = matrixOf(weight.shape);
  const lines = along === "row" ? rows : columns;
  return Float32Array.from({ length: lines }, (_, i) => mask[i - (lines - mask.length)] ?? 0);
};

/** All tensors of the file. */
function fileOf(model: Model, masks: readonly UnitMask[], ref: string): Written[] {
  const blocks = blockWeights(model, ref);
  return masks.flatMap((mask) => {
    if (mask.kind !== "heads") {
      const lines = linesOf(mask);
      const bias = mask.bias ? written(model, mask.bias, "row", lines) : [];
      return [...written(model, mask.weight, mask.along, lines), ...bias];
    }
    const { kv } = headCounts(model);
    return blocks[mask.layer]!.filter(makesHeads).flatMap((weight) => {
      const along = model.isInFirst(weight) ? ("column" as const) : ("row" as const);
      const { rows, columns } = matrixOf(weight.shape);
      const lines = overRows(weight, along === "row" ? rows : columns, mask.mask, kv);
      return lines ? written(model, weight, along, lines) : [];
    });
  });
}

async function save(target: string, tensors: readonly Written[]): Promise<void> {
  const infos = tensors.map(({ name, shape, values }) => ({
    name,
    shape,
    dtype: "F32" as const,
    bytes: values.byteLength,
  }));
  const writer = await createWriter(target, { tensors: infos, files: new Map(), lineage: [] });
  try {
    for (const { name, values } of tensors)
      await writer.write(name, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
    await writer.finish();
  } catch (error) {
    await writer.abort();
    throw error;
  }
}

/** Values given one by one, or with commas between them. */
const listed = (values: readonly string[]): string[] => values.flatMap((value) => value.split(","));

const mean = (x: Float32Array): number => x.reduce((a, b) => a + b, 0) / x.length;

export const method = defineTechnique({
  name: "unit-importance",
  title: "Importance of units",
  about: "how much inner units, outputs and heads of each block matter, as masks for --softmask",
  cite: "arXiv:2404.10306",
  metrics: [],
  options: {
    unit_importance_save: {
      type: "string",
      writes: "tensors",
      help: "write the masks of the model to this file, for --softmask",
      value: "FILE.safetensors",
    },
    unit_importance_kinds: {
      type: "string[]",
      default: ["inner", "output"],
      help: `which: ${KINDS.join(", ")}`,
      value: "KIND",
    },
    unit_importance_dropout: {
      type: "0 < number < 1",
      default: 0.003,
      help: "dropout of the two passes that are compared",
      value: "P",
    },
    unit_importance_batch: { type: "number.integer >= 1", default: 2, help: "rows of a batch", value: "N" },
  },
  laws: { reproducible: true, companions: true },

  check({ values, metrics, gold, models }) {
    const { unit_importance_save: file } = values;
    const kinds = listed(values.unit_importance_kinds);
    const unknown = kinds.find((kind) => !(KINDS as readonly string[]).includes(kind));
    if (unknown !== undefined)
      throw new UserError(`--unit-importance-kinds ${unknown} is no kind of unit`, `there are ${KINDS.join(", ")}`);
    if (metrics.length > 0) throw new UserError("--metric has no effect with --probe unit-importance", "leave it out");
    if (gold)
      throw new UserError("--gold has no effect with --probe unit-importance", "give the model as one more argument");
    if (file === undefined) return;
    if (models > 1)
      throw new UserError(
        `--unit-importance-save is one file, and there are ${models} models`,
        "measure one at a time",
      );
    if (!file.endsWith(".safetensors"))
      throw new UserError(`--unit-importance-save ${file} does not end with .safetensors`, "name such a file");
  },

  async run({ values, groups, candidates, quantize, loader, seed, signal }) {
    const { unit_importance_save: target, unit_importance_dropout: dropout } = values;
    const asked = listed(values.unit_importance_kinds);
    const kinds = KINDS.filter((kind) => asked.includes(kind));
    if (target !== undefined) await tryTarget(target);
    const rows: {
      model: string;
      blocks: { block: number; kind: Kind; units: number; mask: number; most: number }[];
    }[] = [];
    for (const [i, checkpoint] of candidates.entries()) {
      const loaded = await loader.load(checkpoint, { trained: true, bits: quantize });
      const { model, ref } = loaded;
      const gated = gatedWeights(model, kinds, ref);
      const { batches } = await readBatches(groups, loaded, values.unit_importance_batch);
      const counted = batches.filter(({ counted }) => counted > 0);
      const total = counted.reduce((sum, { rows }) => sum + rows, 0);
      if (i === 0) loader.begin(candidates.length * total, "rows");
      const done = (rows: number) => {
        for (let k = 0; k < rows; k++) loader.tick(ref);
      };
      const masks = await measureUnits(model, gated, counted, { dropout, seed, ref, signal, done });
      const blocks = masks.map(({ layer, kind, mask }) => {
        return { block: layer, kind, units: mask.length, mask: mean(mask), most: Math.max(...mask) };
      });
      rows.push({ model: ref, blocks });
      if (target !== undefined) await save(target, fileOf(model, masks, ref));
      await loaded.free();
    }
    const table = rows.flatMap(({ model, blocks }) =>
      blocks.map(({ block, kind, units, mask, most }) => [model, String(block), kind, units, mask, most]),
    );
    return { table: [["model", "block", "units", "count", "mean mask", "largest"], ...table], json: { rows } };
  },
});
