/**
 * O-LoRA: each task learns in low-rank directions of its own, across those of the tasks before.
 *
 *   Delta W = s sum_t B_t A_t,  loss + lambda sum_{j < t} ||A_j A_t'||_F^2;  A_j and B_j of earlier tasks stay
 *
 * Wang et al., EMNLP Findings 2023, https://arxiv.org/abs/2310.14152. The authors' code sums |A_j A_t'|; the square is
 * the paper's equation. The tasks share one LoRA adapter, whose rank is divided between them, so that the result is an
 * ordinary adapter: of rank R, each of T tasks has R / T rows of A and columns of B, the last one also what is left.
 */
import { UserError } from "../../../errors.ts";
import type { Model } from "../../../model/model.ts";
import { RowOrthogonality } from "../../../run/training/rules/row-orthogonality.ts";
import { UnitScales } from "../../../run/training/rules/unit-scales.ts";
import type { Parameter } from "../../../tensor/parameter.ts";
import { continualMethod } from "../../continual/contract.ts";
import { onlyPart, partOf } from "../../continual/rank-parts.ts";

/** The factors of an adapter: A (R, in), B (out, R). */
interface Factors {
  readonly a: readonly Parameter[];
  readonly b: readonly Parameter[];
  readonly rank: number;
}

/** Throws UserError for what is no LoRA adapter of linear layers alone. */
function factorsOf(model: Model, tasks: number): Factors {
  const hint = `train an adapter of linear layers: --lora --lora-rank ${Math.max(8, 4 * tasks)}`;
  if (!model.adapter)
    throw new UserError("olora gives each task a part of a LoRA adapter, and no adapter is trained", hint);
  const trained = model.trainable();
  const other = trained.find(({ name, shape }) => !/\.lora_[AB]\.weight$/.test(name) || shape.length !== 2);
  if (other)
    throw new UserError(`olora divides LoRA's A and B of linear layers, and ${other.name} is trained, too`, hint);
  const a = trained.filter(({ name }) => name.endsWith("lora_A.weight"));
  const ranks = new Set(a.map(({ shape }) => shape[0]!));
  const [rank] = ranks;
  if (rank === undefined || ranks.size > 1)
    throw new UserError("olora divides one rank between the tasks, and layers have several", hint);
  if (rank < tasks) throw new UserError(`olora: a rank of ${rank} has no part for each of ${tasks} tasks`, hint);
  return { a, b: trained.filter(({ name }) => name.endsWith("lora_B.weight")), rank };
}

export const method = continualMethod({
  name: "olora",
  title: "O-LoRA",
  about: "a part of a LoRA adapter for each task, in directions across those of the tasks before",
  cite: "arXiv:2310.14152",
  options: {
    lambda: { type: "number >= 0", default: 0.5, help: "weight of the squared products of new and old directions" },
  },
  begin({ gpu, model, tasks, values, seed }) {
    const { a, b, rank } = factorsOf(model, tasks.length);
    return {
      stage({ index }) {
        const rows = partOf(index, tasks.length, rank);
        const factors = onlyPart(rows, rank);
        const scales = [
          ...a.map((parameter) => ({ parameter, along: "row" as const, factors })),
          ...b.map((parameter) => ({ parameter, along: "column" as const, factors })),
        ];
        return {
          updates: [
            new RowOrthogonality(gpu, a, rows, values.lambda),
            new UnitScales(gpu, scales, { name: "parts", apply: "update", seed }),
          ],
        };
      },
    };
  },
});
