/**
 * A selective sample buffer: answers that still teach, those whose advantage is not 0, are kept, and take the places of
 * answers that teach nothing in later rollouts. Skywork R1V2: Multimodal Hybrid Reinforcement Learning for Reasoning,
 * 2025, https://arxiv.org/abs/2504.16656
 *
 * One is drawn with a probability in proportion to the size of its advantage, none twice in a rollout, and stays until
 * it is too old or too small. Its ratio is against the policy that sampled it, whose log-probabilities it keeps.
 */
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Bound } from "../../method/bind.ts";
import type { Stateful } from "../../method/stateful.ts";
import { meanOf } from "./advantages.ts";
import type { PolicyMethod, SharedValues } from "./contract.ts";
import { type HeldAnswer, type HeldRollout, isHeldAnswer } from "./held-rollout.ts";

export interface SampleBufferSetup {
  /** Most answers that are kept. */
  readonly size: number;
  /** Rollouts after which an answer is too old. */
  readonly age: number;
  readonly seed: number;
}

/** An answer with the rollout that it was sampled in. */
type Kept = HeldAnswer & { readonly rollout: number };

/** Advantages that are smaller are 0 but for rounding. */
const NONE = 1e-9;

/** How much an answer teaches: the size of its advantage, as a mean over its tokens; 0 where it does not count. */
export function teaches({ advantage, uncounted }: Pick<HeldAnswer, "advantage" | "uncounted">): number {
  if (uncounted) return 0;
  const size = typeof advantage === "number" ? Math.abs(advantage) : meanOf(advantage.map(Math.abs));
  return size > NONE ? size : 0;
}

/** By itself: its pair stays in its group. */
function keptOf({ pair: _pair, ...answer }: HeldAnswer, rollout: number): Kept {
  return { ...answer, rollout };
}

export class SampleBuffer implements Stateful {
  readonly #setup: SampleBufferSetup;
  #kept: readonly Kept[] = [];

  constructor(setup: SampleBufferSetup) {
    this.#setup = setup;
  }

  /** The rollout with answers of earlier ones where its own teach nothing; those of its own that do are kept. */
  refill(rollout: HeldRollout): HeldRollout {
    const { size, age, seed } = this.#setup;
    const { number, answers } = rollout;
    const known = this.#kept.filter((own) => number - own.rollout <= age);
    const random = new Random(seed, "sample buffer", number);
    const left = known.map(teaches);
    let there = known.length;
    const drawn: Kept[] = [];
    const filled = answers.map((own) => {
      if (there === 0 || teaches(own) > 0) return own;
      const i = random.weighted(left);
      left[i] = 0;
      there--;
      drawn.push(known[i]!);
      return known[i]!;
    });
    const fresh = answers.filter((own) => teaches(own) > 0).map((own) => keptOf(own, number));
    this.#kept = [...fresh, ...known].sort((a, b) => teaches(b) - teaches(a) || b.rollout - a.rollout).slice(0, size);
    return {
      ...rollout,
      answers: filled,
      told: {
        ...rollout.told,
        buffered: this.#kept.length,
        drawn_again: drawn.length / answers.length,
        drawn_age: meanOf(drawn.map((own) => number - own.rollout)),
      },
    };
  }

  state(): Json {
    return this.#kept as unknown as Json;
  }

  load(state: unknown): void {
    const isKept = (own: unknown): own is Kept => isHeldAnswer(own) && Number.isSafeInteger(own.rollout);
    if (!Array.isArray(state) || state.length > this.#setup.size || !state.every(isKept))
      throw new UserError("the saved answers of --buffer cannot be read", "remove the state, and align from the start");
    this.#kept = state;
  }
}

/** Throws UserError for a method whose answers cannot be drawn again. */
export function checkBuffer({ method, values }: Bound<PolicyMethod>): void {
  if ((values as SharedValues).buffer === "none") return;
  const why = method.choice
    ? "trains on whole choices of a group"
    : method.value && "has a value head, which foretold nothing of the present model in older rollouts";
  if (why)
    throw new UserError(`${method.name} ${why}, and --buffer mixes answers of many rollouts`, "leave --buffer out");
}

/** What --buffer asks for, with so many answers in a rollout; undefined for none. */
export const sampleBuffer = (
  { buffer, buffer_size: size, buffer_age: age }: SharedValues,
  answers: number,
  seed: number,
): SampleBuffer | undefined =>
  buffer === "none" ? undefined : new SampleBuffer({ size: size ?? 4 * answers, age, seed });
