/** The tensors of a model that have a row for every token: the table, a head, its bias. */

import type { TensorEntry } from "../../checkpoint/checkpoint.ts";
import { isEmbedding, isHead, type NamedModel, resolve, tokenTable } from "../../model/names.ts";

/** Heads of masked language models, whose names are those of no embedding. */
const MASKED_HEAD = /(^|\.)(cls\.predictions\.(bias|decoder\.\w+)|vocab_projector\.\w+)$/;
/** Tables and matrices that may happen to have as many rows as there are tokens. */
const OTHER_ROWS = /position|token_type|\.(dense|layer_norm)\./;

/** Rows that a model stores of its token table. */
export const heightOf = (model: NamedModel): number => tokenTable(model)?.entry.shape[0] ?? 0;

/** Names of the tables, in the model's order. */
export function tablesOf(model: NamedModel): string[] {
  const height = heightOf(model);
  return [...model.tensors]
    .filter(([name]) => (isEmbedding(name) && !OTHER_ROWS.test(name)) || MASKED_HEAD.test(name))
    .filter(([, { shape }]) => shape[0] === height && shape.length <= 2)
    .map(([name]) => name);
}

/** What a table of this name is for: read by the model, or compared with what it says. */
export const useOf = (name: string): "embedding" | "head" =>
  isHead(name) || MASKED_HEAD.test(name) || /lm_head|embed_out/.test(name) ? "head" : "embedding";

/** The matrix of a model for a use; the token table for a head that is tied to it. */
export function tableFor(model: NamedModel, use: "embedding" | "head"): TensorEntry | undefined {
  const table = tokenTable(model)?.entry;
  if (use === "embedding") return table;
  const head = tablesOf(model).find((name) => useOf(name) === "head" && model.tensors.get(name)!.shape.length === 2);
  return head === undefined ? (table ?? resolve(model, "lm_head.weight")) : model.tensors.get(head);
}
