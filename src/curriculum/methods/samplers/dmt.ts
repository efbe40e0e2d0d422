/**
 * Dual-stage mixed fine-tuning: special abilities first, then general data with a little of the special. Dong et al.
 * 2023, https://arxiv.org/abs/2310.05492.
 *
 *   multi-task        all groups by size
 *   sequential        one special group after the other, then the general ones
 *   mixed-sequential  all special groups, then the general ones
 *   dmt               all special groups, then the general ones with the fraction `replay` of the special rows
 *
 * Stages last in proportion to their rows, unless `first` sets the share of the steps before general data. Replay draws
 * from one fixed part of the special rows, at least one of each group. The learning-rate schedule begins anew in every
 * stage, unless `one_schedule` asks for one over all.
 */
import { UserError } from "../../../errors.ts";
import { normalised } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { bySize, placesOf, sharesAmong } from "../../mixture-options.ts";
import { staged, stageSteps } from "../../staged.ts";

export const method = defineSampler({
  name: "dmt",
  title: "Dual-stage mixed fine-tuning",
  about: "special abilities first, then general data with a little of the special",
  cite: "arXiv:2310.05492",
  laws: {
    keepsEveryGroup: "stages leave groups out",
    followsLosses: "stages are fixed before the training",
    anyGroupOrder: true,
    shiftInvariant: "it hears no losses",
    stepZero: "it has no step size",
  },
  trials: [{ special: ["c", "a"] }],
  options: {
    special: {
      type: "string[]",
      required: true,
      help: "groups of special abilities, in the order of --strategy sequential",
    },
    general: { type: "string[]", help: "groups of general data; all others when left out" },
    replay: { type: "0 <= number <= 1", default: 1 / 256, help: "fraction of the special rows in the second stage" },
    strategy: {
      type: "'dmt' | 'multi-task' | 'sequential' | 'mixed-sequential'",
      default: "dmt",
      help: "in which order groups come",
    },
    one_schedule: {
      type: "boolean",
      default: false,
      help: "one learning-rate schedule over all stages, in place of a fresh one for each",
    },
    first: { type: "0 < number < 1", help: "share of the steps before general data; by rows when left out" },
  },
  make({ groups, steps, values }) {
    const special = placesOf(values.special, groups, "--special");
    const rest = groups.flatMap(({ name }, i) => (special.includes(i) ? [] : [name]));
    const general = placesOf(values.general ?? rest, groups, "--general");
    const both = general.find((place) => special.includes(place));
    if (both !== undefined) throw new UserError(`${groups[both]!.name} is both in --special and in --general`);
    const neither = groups.find((_, i) => !special.includes(i) && !general.includes(i));
    if (neither)
      throw new UserError(`${neither.name} is neither in --special nor in --general`, "every group needs a role");
    if (special.length === 0) throw new UserError("--special names no group");
    if (general.length === 0) throw new UserError("--special names all groups", "some must be general");

    const rows = groups.map((group) => group.rows);
    const sum = (weights: readonly number[]) => weights.reduce((a, b) => a + b, 0);
    const stage = (probs: number[], length: number) => ({ probs, length });
    const { strategy } = values;
    const among = (places: readonly number[]) => stage(sharesAmong(places, rows), sum(places.map((i) => rows[i]!)));
    const second = rows.map((n, i) => (special.includes(i) ? (strategy === "dmt" ? values.replay * n : 0) : n));
    const last = stage(normalised(second), sum(second));
    const before = strategy === "sequential" ? special.map((place) => among([place])) : [among(special)];
    if (strategy === "multi-task") return staged([{ probs: bySize(groups), steps }]);
    const own = sum(before.map(({ length }) => length));
    const scale = values.first === undefined ? 1 : (values.first * last.length) / (1 - values.first) / own;
    const stages = [...before.map(({ probs, length }) => stage(probs, length * scale)), last];
    const lengths = stageSteps(
      stages.map(({ length }) => length),
      steps,
    );
    const isReplayed = strategy === "dmt" && values.replay > 0 && values.replay < 1;
    const kept = rows.map((n, i) => (special.includes(i) ? Math.max(1, Math.round(values.replay * n)) : undefined));
    const all = staged(
      stages.map(({ probs }, i) => ({
        ...{ probs, steps: lengths[i]! },
        ...(isReplayed && i === stages.length - 1 ? { rows: kept } : {}),
      })),
    );
    return values.one_schedule ? all : { ...all, restarts: lengths.filter((length) => length > 0) };
  },
});
