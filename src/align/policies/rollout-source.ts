/**
 * Batches of a training by policy gradients: a rollout when one is asked for, then the micro-batches of its updates.
 *
 * The present rollout is part of the state, with its old log-probabilities and advantages. A rollout that was under way
 * is not: it is drawn again from the prompts' order and the weights that were saved.
 */
import type { OrderState } from "../../data/order.ts";
import { UserError } from "../../errors.ts";
import { isObject, type Json } from "../../json.ts";
import type { BatchSource, DrawnBatch } from "../../run/training/batch-source.ts";
import type { Controller } from "../../run/training/controller.ts";
import { batchAt, batchesOf } from "./batches.ts";
import { COOLING, nextTemperature } from "./entropy-target.ts";
import type { HeldPrompts } from "./held-prompts.ts";
import {
  type HeldAnswer,
  type HeldRollout,
  isHeldRollout,
  type RolloutLine,
  type RolloutSpeed,
} from "./held-rollout.ts";
import type { LengthStages } from "./length-stages.ts";
import type { PolicyBatch } from "./objective.ts";
import type { PromptOrder } from "./prompt-order.ts";
import type { RewardWeights } from "./reward-weights/contract.ts";
import type { RolloutMaker } from "./rollout.ts";
import type { RolloutPlan } from "./rollout-plan.ts";
import type { SampleBuffer } from "./sample-buffer.ts";
import type { TemperatureSearch } from "./temperature-search.ts";

export interface RolloutSourceOptions {
  readonly plan: RolloutPlan;
  readonly maker: RolloutMaker;
  /** What changes the weights of rewards, as the maker has it. */
  readonly weights?: RewardWeights | undefined;
  /** Answers of earlier rollouts that are trained on again. */
  readonly buffer?: SampleBuffer | undefined;
  /** Held-out prompts that they are measured on, and rollouts between two measurements; rollouts when left out. */
  readonly held?: { readonly prompts: HeldPrompts; readonly every: number } | undefined;
  /** What looks at held-out prompts for the temperature of the next rollouts. */
  readonly warming?: TemperatureSearch | undefined;
  /** Limits of answers that grow in stages. */
  readonly stages?: LengthStages | undefined;
  readonly order: PromptOrder;
  /** Hears every rollout. */
  readonly heard?: (
    number: number,
    lines: readonly RolloutLine[],
    speed: RolloutSpeed,
    told: HeldRollout["told"],
  ) => void;
  /** Hears, of a run that resumes, how many rollouts it has. */
  readonly resumed?: (rollouts: number) => void;
}

/** The state of the source beside the order of its prompts. */
interface RolloutState {
  /** Rollouts that were made. */
  readonly made: number;
  /** Micro-batches of the present one that were given. */
  readonly at: number;
  readonly held: HeldRollout | null;
  /** Weight of the divergence from the model as it was. */
  readonly kl: number;
  /** Of what changes the weights of rewards. */
  readonly weights: Json;
  /** What the buffer keeps. */
  readonly buffer: Json;
  /** Of the next rollout. */
  readonly temperature: number;
  /** Prompts of the stages. */
  readonly stages: Json;
}

/**
 * The weight of the divergence after a rollout that diverged by `drift` nats: it follows the error against the target,
 * of which a fifth counts at most. Ziegler et al. 2019, https://arxiv.org/abs/1909.08593
 */
export function adaptedWeight(kl: number, drift: number, answers: number, target: number, horizon: number): number {
  const error = Math.max(-0.2, Math.min(0.2, drift / target - 1));
  return kl * (1 + (error * answers) / horizon);
}

export class RolloutSource implements BatchSource<PolicyBatch> {
  readonly #options: RolloutSourceOptions;
  #made = 0;
  #at = 0;
  #held: HeldRollout | undefined;
  #speed: RolloutSpeed | undefined;
  #kl: number;
  #temperature: number;

  constructor(options: RolloutSourceOptions) {
    this.#options = options;
    [this.#kl, this.#temperature] = [options.plan.values.kl, options.plan.values.temperature];
  }

  get groups() {
    return this.#options.plan.groups;
  }

  get batchesPerEpoch(): number {
    return this.#options.plan.batchesPerEpoch;
  }

  largest(): PolicyBatch {
    return this.#options.plan.largest();
  }

  async next(): Promise<DrawnBatch<PolicyBatch>> {
    const { maker, plan, order, weights, buffer, stages, heard, held: measuring, warming } = this.#options;
    const { sizes } = plan;
    let away = 0;
    if (!this.#held || this.#at === batchesOf(sizes)) {
      const number = this.#made + 1;
      const began = performance.now();
      if (measuring && this.#made % measuring.every === 0) weights?.heard?.(await measuring.prompts.means());
      const warmth = warming && this.#made % warming.every === 0 ? await warming.find(this.#temperature) : undefined;
      this.#temperature = warmth?.temperature ?? this.#temperature;
      const measured = performance.now() - began;
      const draw = () => order.next(stages && ((prompt) => stages.isLeftOut(prompt)));
      const made = await maker.make(number, draw, {
        ...{ kl: this.#kl, before: this.#held, temperature: this.#temperature, limit: stages?.limit(number) },
      });
      const { lines, speed, means } = made;
      const told = {
        ...made.held.told,
        ...stages?.told(number),
        ...warmth?.told,
        ...order.heard?.({ drawn: made.drawn, lines }),
      };
      const held = buffer?.refill({ ...made.held, told }) ?? { ...made.held, told };
      stages?.heard(number, made.solved);
      this.#temperature = nextTemperature(this.#temperature, told.sampled_entropy, plan.values);
      if (!measuring) weights?.heard?.(means);
      const { kl_target: target, kl_horizon: horizon } = plan.values;
      const { drift } = held.told;
      if (target !== undefined && drift !== undefined)
        this.#kl = adaptedWeight(this.#kl, drift, held.answers.length, target, horizon);
      [this.#held, this.#at, this.#made, this.#speed] = [held, 0, number, speed];
      away = measured + 1000 * (speed.seconds + speed.judging);
      heard?.(number, lines, speed, held.told);
    }
    const held = this.#held;
    const sequence = (answer: HeldAnswer) => ({
      sequence: maker.sequence(answer),
      from: maker.asked(answer).ids.length,
    });
    const batch = batchAt(held, this.#at++, { ...plan, sequence });
    return { batch, epoch: held.epoch, ...(away > 0 ? { away } : {}) };
  }

  state(): OrderState {
    return this.#options.order.state();
  }

  load(state: unknown, what: string): void {
    this.#options.order.load(state, what);
  }

  /** Of the present rollout, whose answers have their likelihoods at its temperature. */
  #cooling(): Record<string, number> {
    const { target_entropy: target, temperature } = this.#options.plan.values;
    return target === undefined ? {} : { [COOLING]: 1 / (this.#held?.told.temperature ?? temperature) };
  }

  /** Keeps the present rollout in the state of the training, and says how rollouts go. */
  controller(): Controller {
    return {
      name: "rollout",
      logged: this.#options.plan.values.kl_target !== undefined,
      values: () => ({ kl_weight: this.#kl, ...this.#cooling() }),
      said: () => {
        const reward = this.#held?.told.reward;
        const { tokens = 0, seconds = 0 } = this.#speed ?? {};
        const speed = seconds > 0 ? `, rollouts ${Math.round(tokens / seconds)} tokens/s` : "";
        const weighing = this.#options.weights?.said?.() ?? "";
        return reward === undefined ? "" : `reward ${reward.toFixed(3)}${speed}${weighing && `, ${weighing}`}`;
      },
      state: () =>
        ({
          ...{ made: this.#made, at: this.#at, held: this.#held ?? null, kl: this.#kl },
          weights: this.#options.weights?.state() ?? null,
          buffer: this.#options.buffer?.state() ?? null,
          temperature: this.#temperature,
          stages: this.#options.stages?.state() ?? null,
        }) satisfies RolloutState as unknown as Json,
      load: (state) => {
        const { made, at, held, kl, weights = null, ...more } = isObject(state) ? state : {};
        const { buffer = null, temperature = this.#temperature, stages = null } = more;
        const { plan, resumed, weights: weighing, buffer: keeping } = this.#options;
        const isCount = (count: unknown): count is number => Number.isSafeInteger(count) && (count as number) >= 0;
        const own = isHeldRollout(held, plan.sizes.answers) ? held : undefined;
        const isPlace = isCount(made) && isCount(at) && (held === null || own !== undefined);
        if (!isPlace || typeof kl !== "number" || typeof temperature !== "number")
          throw new UserError(
            "the saved state does not say which rollout comes next",
            "it is damaged, or was written by another version",
          );
        weighing?.load(weights);
        keeping?.load(buffer);
        this.#options.stages?.load(stages);
        [this.#made, this.#at, this.#kl, this.#temperature] = [made, at, kl, temperature];
        this.#held = own;
        resumed?.(made);
      },
    };
  }
}
