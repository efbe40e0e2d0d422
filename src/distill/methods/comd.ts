/**
 * Competitive multi-modal distillation's rounds, for text: teacher and student answer every instruction, what the
 * student is worse at is learnt next, beside new instructions like it and as many easy ones, and where the student is
 * better its answers become the teacher's. Li et al. 2023, https://arxiv.org/abs/2311.08213
 *
 *   gap    the teacher's score of a row less the student's, by --assessor
 *   hard   the largest gaps above --gap, at most --hard-share of all rows; ahead: gaps below -gap
 *
 * With a gap that no row has it is sequence-level distillation.
 *
 * The loss is the cross-entropy of the answers, and with --distill-weight KL(p || q) on them too. The paper's scores
 * are of a third model, from 1 to 10, and its teacher learns from the feedback; here a row's own answer decides, and
 * the teacher stays as it is.
 */
import type { Options, Values } from "../../method/options.ts";
import { divergence } from "../../tensor/ops/divergence.ts";
import { defineDistillation, EVERY_LAW } from "../contract.ts";
import { type Mined, rounds } from "../rounds.ts";

const OPTIONS = {
  gap: {
    type: "number >= 0",
    default: 0.1,
    help: "rows are hard beyond such a difference of scores",
    value: "TAU",
  },
  hard_share: { type: "0 < number <= 1", default: 0.3, help: "most rows that a round takes as hard", value: "SHARE" },
} as const satisfies Options;

/** Rows by their gaps. Of equal gaps the first are taken. */
export function mine(gaps: readonly number[], { gap, hard_share }: Values<typeof OPTIONS>): Mined {
  const behind = [...gaps.keys()].filter((i) => gaps[i]! > gap);
  const most = Math.max(1, Math.floor(hard_share * gaps.length));
  const hard = behind.toSorted((a, b) => gaps[b]! - gaps[a]! || a - b).slice(0, most);
  const isHard = new Set(hard);
  return {
    hard,
    behind: behind.length,
    easy: [...gaps.keys()].filter((i) => !isHard.has(i)),
    ahead: [...gaps.keys()].filter((i) => gaps[i]! < -gap),
  };
}

export const method = defineDistillation({
  name: "comd",
  title: "Rounds of hard rows",
  about: "cross-entropy on the teacher's answers, in rounds that learn what the student is behind on, and rows like it",
  cite: "arXiv:2311.08213",
  laws: EVERY_LAW,
  weights: { distill: 0, labels: 1 },
  options: OPTIONS,
  needs: [rounds<Values<typeof OPTIONS>>(mine)],
  rows: (rec, { student, teachers, targets }) =>
    divergence(rec, student, teachers[0]!, targets, { kind: "forward-kl", temperature: 1 }),
});
