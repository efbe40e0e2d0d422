/** Options of `curriculum query`. */
import type { Options } from "../../method/options.ts";

const COUNT = "number.integer >= 1";

export const QUERY = {
  items: {
    type: "2 <= number.integer <= 1000",
    default: 10,
    help: "fit, test: items, of which the best is sought",
    value: "N",
  },
  asks: { type: "1 <= number.integer <= 10000", default: 20, help: "fit: answers that may be asked for", value: "N" },
  difficulties: {
    type: "number[]",
    default: [12, 20, 40, 100],
    help: "fit, test: classes of problems by the most that sum 1 / gap^2 may be, the easiest first",
    value: "A,B,C",
  },
  query_loss: {
    type: "'wrong' | 'regret'",
    default: "wrong",
    help: "fit, test: 1 for a wrong item, or by how much it is worse",
  },
  over: {
    type: "'classes' | 'worst' | 'average'",
    default: "classes",
    help: "fit: the worst class beside what is possible there, the worst problem of all, or the mean of drawn problems",
  },
  query_hidden: { type: COUNT, default: 8, help: "fit: units of both layers", value: "N" },
  query_steps: {
    type: COUNT,
    default: 200,
    help: "fit: steps of every policy; test: of every search for hard problems",
    value: "N",
  },
  query_lr: { type: "number > 0", default: 0.01, help: "fit: learning rate of policies" },
  particles: { type: COUNT, default: 24, help: "problems that climb against a policy", value: "N" },
  games: { type: "2 <= number.integer <= 1000", default: 3, help: "games of every such problem in a step", value: "N" },
  climb: { type: "number >= 0", default: 0.02, help: "rate at which problems climb" },
  particle_eta: { type: "number >= 0", default: 0.05, help: "rate at which their weights climb" },
  history: { type: "string", help: 'next: answers so far, lines {"item": NAME, "reward": 0 or 1}', value: "FILE" },
  names: { type: "string[]", help: "next: names of the items", value: "A,B,C" },
} as const satisfies Options;
