/**
 * A contextual bandit: a context, one choice of an arm, a reward, the end. In each context the arms have the mean
 * rewards 0, 1/(K-1), .., 1 in an order of its own. In the second half of the contexts all arms but the best also have
 * noise of deviation `risk`: who weighs single rewards by exp(beta r) prefers them for it, since
 * E exp(beta r) = exp(beta mean + beta^2 risk^2 / 2).
 */
import { Random } from "../random.ts";
import { type World, worldKind } from "./world.ts";

export const bandit = worldKind({
  name: "bandit",
  options: {
    contexts: { type: "1 <= number.integer <= 256", default: 8, help: "contexts, equally frequent" },
    arms: { type: "2 <= number.integer <= 64", default: 4, help: "arms" },
    risk: {
      type: "0 <= number <= 100",
      default: 1,
      help: "deviation of the rewards of all arms but the best, in the second half of the contexts",
    },
  },

  open(seed, { contexts, arms, risk }): World {
    const ranks = Array.from({ length: contexts }, (_, context) =>
      new Random(seed, "bandit", contexts, context).shuffled(Array.from({ length: arms }, (_, arm) => arm)),
    );
    const half = (context: number) => (2 * context < contexts ? 0 : 1);
    return {
      name: "bandit",
      actions: { count: arms },
      width: contexts,
      discount: 1,
      horizon: 1,
      optimum: 1,
      observe: ([context]) => Array.from({ length: contexts }, (_, one) => (one === context ? 1 : 0)),
      start: (chance) => [chance.below(contexts)],
      step(state, action, chance) {
        const context = state[0]!;
        const rank = ranks[context]![action as number]!;
        const deviation = half(context) === 1 && rank < arms - 1 ? risk : 0;
        return { reward: rank / (arms - 1) + deviation * chance.normal(), next: state, done: true };
      },
      value: () => 1,
      best: ([context = 0]) => ranks[context]!.indexOf(arms - 1),
      half: ([context = 0]) => half(context),
      holds: (state) => state.length === 1 && Number.isInteger(state[0]) && state[0]! >= 0 && state[0]! < contexts,
      facts: { means: ranks.map((own) => own.map((rank) => rank / (arms - 1))) },
    };
  },
});
