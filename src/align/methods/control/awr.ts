/**
 * Advantage-weighted regression: logged actions are made likely by how much better than usual they were; with
 * `--family` for a range of strengths at once, of which a model chooses one by state.
 *
 *   raise min(exp(beta A(s, a)), 100) ln pi(a | s),  A = Q - V of implicit Q-learning (critics.ts), or what the step
 *   itself brought, r + discount V(s') - V(s)
 *
 * beta = 0 is behaviour cloning. `--online` goes on in the world: its steps join the rows, with the same updates.
 *
 * Peng et al., Advantage-Weighted Regression, 2019, https://arxiv.org/abs/1910.00177; Kostrikov et al. 2021,
 * https://arxiv.org/abs/2110.06169. The family: family.ts; the ratio of updates: replay-ratio.ts.
 */
import { Random } from "../../../data/random.ts";
import { UserError } from "../../../errors.ts";
import { offlineBatch } from "../../control/cloning.ts";
import { controlMethod } from "../../control/contract.ts";
import { Critics } from "../../control/critics.ts";
import { meanOf } from "../../control/evaluating.ts";
import { Family } from "../../control/family.ts";
import { Policy } from "../../control/policy.ts";
import { checkReplayRatio, REPLAY_RATIO, ReplayRatio } from "../../control/replay-ratio.ts";
import type { Batch } from "../../control/transitions.ts";

export const method = controlMethod({
  name: "awr",
  title: "Advantage-weighted regression",
  about: "logged actions, weighted by their advantage; --family learns all strengths and chooses one by state",
  cite: "arXiv:1910.00177",
  options: {
    beta: { type: "number >= 0", default: 3, help: "strength of advantages; 0 clones the data" },
    advantage: {
      type: "'critic' | 'sample'",
      default: "critic",
      help: "Q - V, or what the logged step itself brought over V",
    },
    max_weight: { type: "number > 0", default: 100, help: "largest weight of an action" },
    expectile: { type: "0 < number < 1", default: 0.9, help: "of V over the actions in the rows; 0.5 is their mean" },
    follow: {
      type: "0 < number <= 1",
      default: 0.005,
      help: "share by which the critics' targets follow in an update",
    },
    family: {
      type: "boolean",
      default: false,
      help: "a family of policies over --beta-range, and a model that chooses",
    },
    beta_range: { type: "number[]", default: [1, 5], needs: "family", help: "least and largest beta", value: "B" },
    family_uniform: {
      type: "0 <= number <= 1",
      default: 0.5,
      needs: "family",
      help: "share of the updates whose betas are uniform; then they are the model's",
    },
    online: { type: "number.integer >= 0", default: 0, help: "steps in the world after those on the rows", value: "N" },
    ...REPLAY_RATIO,
  },

  check({ family, beta_range: range, ...rest }) {
    const [low = 0, high = 0] = range;
    if (family && (range.length !== 2 || low < 0 || high < low))
      throw new UserError(`--beta-range ${range.join(",")} is no range`, "give two numbers, the least first: 1,5");
    checkReplayRatio(rest);
  },

  updates: ({ online }, { steps }) => steps + online,

  async learn({ world, rows, values, training, seed, tick, note }) {
    const { advantage, max_weight: most, expectile, follow, beta_range: range, online } = values;
    const [low, high] = [range[0]!, range[1]!];
    const family = values.family && low < high ? new Family(world, training, [low, high], seed) : undefined;
    const beta = values.family ? low : values.beta; // a range of one point has one policy
    const policy = family?.policy ?? Policy.fresh(world, training, seed);
    const { hidden, lr } = training;
    const widths = { width: world.width, actionWidth: policy.head.width };
    const critics = new Critics({ ...widths, hidden, lr, discount: world.discount, expectile, follow }, seed);

    const betasOf = (batch: Batch, step: number, random: Random): number[] =>
      Array.from({ length: batch.rows }, (_, row) => {
        if (!family) return beta;
        return step < values.family_uniform * training.steps
          ? family.uniform(random)
          : family.chosen(batch.steps[row]!.state, random);
      });
    const update = (batch: Batch, step: number) => {
      const random = new Random(seed, "update", step);
      critics.update(batch);
      const gains = advantage === "critic" ? critics.advantages(batch) : critics.sampledAdvantages(batch);
      const betas = betasOf(batch, step, random);
      const inputs = family ? family.inputs(batch, betas) : batch.states;
      policy.raise(inputs, batch.rows, (row, out, into) => {
        const weight = Math.min(Math.exp(betas[row]! * gains[row]!), most);
        policy.head.addLogGradient(out, batch.actions[row]!, weight, into);
      });
      family?.balance(batch, critics, random);
    };

    for (let step = 0; step < training.steps; step++) {
      update(offlineBatch(rows, training, seed, step), step);
      await tick();
    }
    const actor = family?.actor() ?? policy.actor();
    const ratio = new ReplayRatio(values);
    const chance = new Random(seed, "online");
    let [state, age, updates, total, weight] = [world.start(chance), 0, 0, 0, 1];
    for (let step = 0; step < online; step++) {
      const action = actor(state, chance);
      const stepped = world.step(state, action, chance);
      rows.all.push({ state, action, ...stepped });
      for (let left = ratio.due(); left > 0; left--, updates++)
        update(rows.draw(new Random(seed, "online batch", updates), training.batch_size), training.steps + updates);
      total += weight * stepped.reward;
      weight *= world.discount;
      age++;
      state = stepped.next;
      await tick();
      if (!stepped.done && age < world.horizon) continue;
      const seen = rows.draw(new Random(seed, "active", step), training.batch_size);
      const share = critics.active(seen.states, seen.rows);
      ratio.episode(share);
      note(training.steps + step + 1, { return: total, active_units: share, replay_ratio: ratio.ratio, updates });
      [state, age, total, weight] = [world.start(chance), 0, 0, 1];
    }
    const seen = rows.draw(new Random(seed, "told"), 512);
    const chosen = ([0, 1] as const).map((half) =>
      seen.steps.filter(({ state }) => world.half(state) === half).map(({ state }) => family?.chosen(state) ?? beta),
    );
    return {
      actor,
      tensors: [...(family?.tensors() ?? policy.net.tensors("policy")), ...critics.tensors()],
      told: {
        ...(family ? { beta_first_half: meanOf(chosen[0]!), beta_second_half: meanOf(chosen[1]!) } : {}),
        active_units: critics.active(seen.states, seen.rows),
        ...(online > 0 ? { online_updates: updates, settled_at_episode: ratio.settled ?? null } : {}),
      },
    };
  },
});
