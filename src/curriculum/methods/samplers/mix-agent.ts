/**
 * Data mixing agent: a small network, learnt from other trainings, chooses the mixture of every round from the mixtures
 * and losses of the last ones. Yang et al. 2025, https://arxiv.org/abs/2507.15640.
 *
 * `curriculum mix-agent` collects trainings and learns the agent (mixing-agent/learn.ts). It reads groups one by one,
 * so it serves other groups, and other numbers of them, than it was learnt on. `epsilon` of the uniform mixture is
 * mixed in.
 */
import { smoothed } from "../../../run/simplex.ts";
import { defineSampler } from "../../contract.ts";
import { mixtureBy, readAgent } from "../../mixing-agent/agent-file.ts";
import { bySize, EVERY, placesOf } from "../../mixture-options.ts";
import { kept, known } from "../../sampler-state.ts";

const TRIAL = JSON.stringify({
  ...{ history: 1, hidden: 1 },
  encoder: [0.3, -2, 0.1, 0.5, 1, 1, 0],
  head: [1, -0.5, 1, 1, 0],
});

export const method = defineSampler({
  name: "mix-agent",
  title: "Data mixing agent",
  about: "a network, learnt from other trainings, chooses every mixture",
  cite: "arXiv:2507.15640",
  needs: ["losses"],
  laws: {
    keepsEveryGroup: true,
    followsLosses: true,
    anyGroupOrder: true,
    shiftInvariant: "losses are compared by their ratios",
    stepZero: "it has no step size",
  },
  trials: [{ agent: TRIAL }],
  options: {
    agent: {
      type: "string",
      required: true,
      help: "the agent: a file of `curriculum mix-agent fit`, or its JSON",
      value: "FILE",
    },
    new_groups: { type: "string[]", help: "groups that are new to the model; the others are what it knows" },
    epsilon: { type: "0 <= number <= 1", default: 0.01, help: "share of the uniform mixture that is mixed in" },
    every: EVERY,
  },
  make({ groups, values: { agent: source, new_groups, epsilon, every } }) {
    const agent = readAgent(source);
    const places = placesOf(new_groups ?? [], groups, "--new-groups");
    const isTarget = groups.map((_, k) => places.includes(k));
    const natural = bySize(groups);
    const memory = {
      started: false,
      start: groups.map(() => 0),
      rounds: [] as { probs: number[]; losses: number[] }[],
      probs: natural,
    };
    return {
      ...kept(memory),
      segment: () => ({ probs: memory.probs, steps: memory.started ? every : 0 }),
      update({ losses = groups.map(() => Number.NaN) }) {
        const heard = known(losses, memory.rounds.at(-1)?.losses ?? memory.start);
        if (memory.started) memory.rounds = [...memory.rounds, { probs: memory.probs, losses: heard }];
        memory.rounds = memory.rounds.slice(-agent.history);
        memory.start = memory.start.map((first, k) => (first > 0 ? first : heard[k]!));
        memory.started = true;
        const { start, rounds } = memory;
        memory.probs = smoothed(mixtureBy(agent, { isTarget, natural, start, rounds }), epsilon);
      },
    };
  },
});
