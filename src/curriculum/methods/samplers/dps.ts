/**
 * Dynamic parameter scaling: groups that are solved give no more data, and when enough of them are, the next part of
 * a staged adapter is trained (model/adapters/methods/staged.ts).
 *
 *   quota = max(1, ceil(U / R)), U unsolved groups and R further stages at the beginning of a stage
 *   the next stage begins when `quota` groups were solved in this one, or after `stage_steps` steps of it
 *
 * ScaleZero, 2025, https://arxiv.org/abs/2509.07945. A group is solved once its held-out loss is at its target, and
 * stays so. Groups that are not are drawn alike; once all are solved all of them are. The rank-based weights of the
 * paper's losses are left out.
 */

import { normalised, uniform } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { EVERY, perGroup } from "../../mixture-options.ts";
import { kept } from "../../sampler-state.ts";

export const method = defineSampler({
  name: "dps",
  title: "Dynamic parameter scaling",
  about: "leaves out groups that are solved, and moves on to the next stage of an adapter when enough are",
  cite: "arXiv:2509.07945",
  needs: ["losses"],
  laws: {
    keepsEveryGroup: "a group that is solved gives no more data",
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "targets are of the losses themselves",
    stepZero: "it has no step size",
  },
  trials: [{}, { targets: [0.5, 0.9, 1.2, 2], stage_steps: 10 }],
  options: {
    targets: {
      type: "number[]",
      value: "LOSS",
      help: "held-out loss at which each group is solved, in their order; 0.1 for each when left out",
    },
    min_steps: { type: "number.integer >= 0", default: 0, value: "N", help: "steps before the first change of stage" },
    stage_steps: {
      type: "number.integer >= 1",
      value: "N",
      help: "steps after which a stage is over whatever is solved; no bound when left out",
    },
    every: EVERY,
  },
  make({ groups, stages = 1, values: { targets, min_steps, stage_steps = Number.POSITIVE_INFINITY, every } }) {
    const goals = targets ? perGroup(targets, groups, "--targets") : groups.map(() => 0.1);
    const memory = { solved: groups.map(() => false), heard: false, stage: 1, since: 0, newly: 0, quota: 1 };
    const unsolved = () => memory.solved.filter((is) => !is).length;
    const enter = (step: number) => {
      memory.since = step;
      memory.newly = 0;
      memory.quota = Math.max(1, Math.ceil(unsolved() / Math.max(1, stages - memory.stage)));
    };
    return {
      ...kept(memory),
      segment: () => ({
        probs: unsolved() === 0 ? uniform(groups.length) : normalised(memory.solved.map((is) => (is ? 0 : 1))),
        steps: memory.heard ? every : 0,
      }),
      stage: () => memory.stage,
      update({ step, losses = [] }) {
        for (const [g, goal] of goals.entries()) {
          if (memory.solved[g] || !(losses[g]! <= goal)) continue;
          memory.solved[g] = true;
          memory.newly++;
        }
        if (!memory.heard) {
          memory.heard = true;
          enter(step); // what was solved before any training is no reason to go on
          return;
        }
        const isOver = memory.newly >= memory.quota || step - memory.since >= stage_steps;
        if (memory.stage >= stages || step < min_steps || !isOver) return;
        memory.stage++;
        enter(step);
      },
      notes: () => ({
        solved: groups.filter((_, g) => memory.solved[g]).map(({ name }) => name),
        stage: memory.stage,
      }),
    };
  },
});
