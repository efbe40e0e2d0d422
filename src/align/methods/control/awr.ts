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
import type { Options } from "../../../method/options.ts";
import { type Kept, keptTogether, type Numbers, numbersOf } from "../../../run/small-nets/kept.ts";
import type { NamedTensor } from "../../../run/small-nets/mlp.ts";
import { offlineBatch } from "../../control/cloning.ts";
import { type Actor, type ControlSetup, controlMethod, type Learning, type Learnt } from "../../control/contract.ts";
import type { Stage } from "../../control/course.ts";
import { Critics } from "../../control/critics.ts";
import { meanOf } from "../../control/evaluating.ts";
import { Family } from "../../control/family.ts";
import { Policy } from "../../control/policy.ts";
import { checkReplayRatio, REPLAY_RATIO, ReplayRatio } from "../../control/replay-ratio.ts";
import type { Batch } from "../../control/transitions.ts";
import { Walk } from "../../control/walk.ts";

const OPTIONS = {
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
} as const satisfies Options;

/** A run of it. */
class Regression implements Learning {
  readonly stages: readonly Stage[];
  readonly #setup: ControlSetup<typeof OPTIONS>;
  readonly #beta: number;
  readonly #family: Family | undefined;
  readonly #policy: Policy;
  readonly #critics: Critics;
  readonly #ratio: ReplayRatio;
  readonly #walk: Walk;
  readonly #kept: Kept;
  #updates = 0;

  constructor(setup: ControlSetup<typeof OPTIONS>) {
    const { world, rows, values, training, seed, from, tick } = setup;
    const [low = 0, high = 0] = values.beta_range;
    const family = values.family && low < high ? new Family(world, training, [low, high], seed) : undefined;
    const { hidden, lr } = training;
    const { expectile, follow } = values;
    const shared = { discount: world.discount, expectile, follow, hidden, lr, care: training };
    this.#setup = setup;
    this.#beta = values.family ? low : values.beta; // a range of one point has one policy
    this.#family = family;
    this.#policy = family?.policy ?? Policy.fresh(world, training, seed);
    const widths = { width: world.width, actionWidth: this.#policy.head.width };
    this.#critics = new Critics({ ...widths, ...shared }, seed);
    this.#ratio = new ReplayRatio(values);
    this.#walk = new Walk(world, seed);
    const learners = { policy: family ?? this.#policy, critics: this.#critics };
    this.#kept = keptTogether({ ...learners, ratio: this.#ratio, walk: this.#walk, rows });
    if (from) {
      from.checkFamily(family !== undefined);
      if (family) family.fill(from);
      else from.fill(this.#policy.net, "policy");
      this.#critics.fill(from);
    }
    const offline = async (step: number) => {
      this.#update(offlineBatch(rows, training, seed, step), step);
      await tick();
    };
    this.stages = [
      { units: training.steps, run: offline },
      { units: values.online, run: (step) => this.#act(step) },
    ];
  }

  #betas(batch: Batch, step: number, random: Random): number[] {
    const { values, training } = this.#setup;
    const family = this.#family;
    if (!family) return Array.from({ length: batch.rows }, () => this.#beta);
    const isUniform = step < values.family_uniform * training.steps;
    return batch.steps.map(({ state }) => (isUniform ? family.uniform(random) : family.chosen(state, random)));
  }

  #update(batch: Batch, step: number): void {
    const { values, seed } = this.#setup;
    const random = new Random(seed, "update", step);
    const [policy, critics] = [this.#policy, this.#critics];
    critics.update(batch);
    const gains = values.advantage === "critic" ? critics.advantages(batch) : critics.sampledAdvantages(batch);
    const betas = this.#betas(batch, step, random);
    const inputs = this.#family ? this.#family.inputs(batch, betas) : batch.states;
    policy.raise(inputs, batch.rows, (row, out, into) => {
      const weight = Math.min(Math.exp(betas[row]! * gains[row]!), values.max_weight);
      policy.head.addLogGradient(out, batch.actions[row]!, weight, into);
    });
    this.#family?.balance(batch, critics, random);
  }

  /** A step in the world, and the updates that are due for it. */
  async #act(step: number): Promise<void> {
    const { rows, training, seed, tick, note } = this.#setup;
    const ratio = this.#ratio;
    const walked = this.#walk.step(this.#actor());
    rows.all.push(walked.step);
    for (let left = ratio.due(); left > 0; left--, this.#updates++) {
      const batch = rows.draw(new Random(seed, "online batch", this.#updates), training.batch_size, training.augment);
      this.#update(batch, training.steps + this.#updates);
    }
    await tick();
    if (walked.ended === undefined) return;
    const seen = rows.draw(new Random(seed, "active", step), training.batch_size);
    const share = this.#critics.active(seen.states, seen.rows);
    ratio.episode(share);
    const told = { return: walked.ended, active_units: share, replay_ratio: ratio.ratio, updates: this.#updates };
    note(training.steps + step + 1, told);
  }

  #actor(): Actor {
    return this.#family?.actor() ?? this.#policy.actor();
  }

  networks(): NamedTensor[] {
    return [...(this.#family?.tensors() ?? this.#policy.net.tensors("policy")), ...this.#critics.tensors()];
  }

  learnt(): Learnt {
    const { world, rows, values, seed } = this.#setup;
    const family = this.#family;
    const seen = rows.draw(new Random(seed, "told"), 512);
    const chosen = (half: 0 | 1) =>
      meanOf(seen.steps.filter(({ state }) => world.half(state) === half).map(({ state }) => family!.chosen(state)));
    return {
      actor: this.#actor(),
      told: {
        ...(family ? { beta_first_half: chosen(0), beta_second_half: chosen(1) } : {}),
        active_units: this.#critics.active(seen.states, seen.rows),
        ...(values.online > 0
          ? { online_updates: this.#updates, settled_at_episode: this.#ratio.settled ?? null }
          : {}),
      },
    };
  }

  state(): Numbers {
    return { ...this.#kept.state(), updates: Float64Array.of(this.#updates) };
  }

  load(numbers: Numbers): void {
    this.#kept.load(numbers);
    this.#updates = numbersOf(numbers, "updates", 1)[0]!;
  }
}

export const method = controlMethod({
  name: "awr",
  title: "Advantage-weighted regression",
  about: "logged actions, weighted by their advantage; --family learns all strengths and chooses one by state",
  cite: "arXiv:1910.00177",
  options: OPTIONS,

  check({ family, beta_range: range, ...rest }) {
    const [low = 0, high = 0] = range;
    if (family && (range.length !== 2 || low < 0 || high < low))
      throw new UserError(`--beta-range ${range.join(",")} is no range`, "give two numbers, the least first: 1,5");
    checkReplayRatio(rest);
  },

  updates: ({ online }, { steps }) => steps + online,

  begin: (setup) => new Regression(setup),
});
