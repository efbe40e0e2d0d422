/** Which prompt comes next: in the order of the data, or drawn from groups by a bandit that hears of their answers. */
import { GroupOrder } from "../../data/groups.ts";
import { BatchOrder, type OrderState } from "../../data/order.ts";
import { Random } from "../../data/random.ts";
import { UserError } from "../../errors.ts";
import type { Json } from "../../json.ts";
import type { Bound } from "../../method/bind.ts";
import { digestOf } from "../../run/training/batch-source.ts";
import type { AlignRun } from "../run.ts";
import type { DrawnPrompt, RolloutLine } from "./held-rollout.ts";
import type { Bandit, PromptSampler } from "./prompt-samplers/contract.ts";
import type { PolicyPrompts } from "./prompts.ts";

/** A rollout, as far as an order hears of it. */
export interface HeardRollout {
  readonly drawn: readonly DrawnPrompt[];
  /** As many of each prompt that was drawn, in that order. */
  readonly lines: readonly Pick<RolloutLine, "advantage">[];
}

/** Prompts, one after the other. Its state resumes exactly. */
export interface PromptOrder {
  /** The next prompt that is not left out; some are not. */
  next(isLeftOut?: (prompt: number) => boolean): DrawnPrompt;
  /** Hears a rollout of what it drew; gives what is told of it. */
  heard?(rollout: HeardRollout): Record<string, number>;
  state(): OrderState;
  load(state: unknown, what: string): void;
}

/** The order that options ask for. Throws UserError where they do not go together. */
export function promptOrder(
  { options, picks, seed }: Pick<AlignRun, "options" | "picks" | "seed">,
  read: PolicyPrompts,
): PromptOrder {
  const { shuffle, mixture: weights } = options;
  const [sampler] = picks.curriculum;
  const digest = digestOf(read.prompts.map(({ ids }) => Int32Array.from(ids)));
  if (sampler && weights)
    throw new UserError("--mixture and --curriculum both say how groups are drawn", "leave one of them out");
  if (sampler) return new BanditPrompts({ read, sampler, seed, shuffle, digest });
  return inOrder(
    new BatchOrder({ groups: read.groups, batchSize: 1, seed, shuffle, digest, ...(weights ? { weights } : {}) }),
  );
}

/** Prompts in an order that hears of nothing; `order` has batches of one. */
export const inOrder = (order: BatchOrder): PromptOrder => ({
  next(isLeftOut) {
    for (;;) {
      const { bins, epoch } = order.next();
      const prompt = bins[0]![0]!;
      if (!isLeftOut?.(prompt)) return { prompt, epoch };
    }
  },
  state: () => order.state(),
  load: (state, what) => order.load(state, what),
});

const sizeOf = (advantage: RolloutLine["advantage"]): number =>
  typeof advantage === "number"
    ? Math.abs(advantage)
    : advantage.reduce((sum, one) => sum + Math.abs(one), 0) / Math.max(1, advantage.length);

export interface BanditOptions {
  readonly read: PolicyPrompts;
  readonly sampler: Bound<PromptSampler>;
  readonly seed: number;
  readonly shuffle: boolean;
  /** Of what the prompts hold. */
  readonly digest: string;
}

/**
 * Draws the group of every prompt by the shares of a bandit; a group gives all of its prompts before it repeats one.
 */
export class BanditPrompts implements PromptOrder {
  readonly #options: BanditOptions;
  readonly #bandit: Bandit;
  readonly #orders: readonly GroupOrder[];
  /** Position of the first prompt of each group. */
  readonly #first: readonly number[];
  /** Prompts of each group that were drawn. */
  #drawn: number[];

  /** Throws UserError where there is nothing to choose from. */
  constructor(options: BanditOptions) {
    const { read, sampler, seed, shuffle } = options;
    const { groups } = read;
    if (groups.length < 2)
      throw new UserError(
        `--curriculum ${sampler.method.name} chooses among groups of prompts, and --data names one`,
        "give a file for each: --data easy=easy.jsonl --data hard=hard.jsonl",
      );
    const empty = groups.find(({ lengths }) => lengths.length === 0);
    if (empty) throw new UserError(`the group ${empty.name} has no rows`, "leave it out");
    this.#options = options;
    this.#bandit = sampler.method.make(groups.length, sampler.values);
    this.#orders = groups.map(({ name, lengths }) => new GroupOrder(name, lengths.length, seed, shuffle));
    let at = 0;
    this.#first = groups.map(({ lengths }) => {
      at += lengths.length;
      return at - lengths.length;
    });
    this.#drawn = groups.map(() => 0);
  }

  /** Of the groups with prompts that are not left out. */
  #shares(isLeftOut: ((prompt: number) => boolean) | undefined): readonly number[] {
    const shares = this.#bandit.shares();
    if (!isLeftOut) return shares;
    const open = new Set(this.#options.read.prompts.flatMap(({ group }, i) => (isLeftOut(i) ? [] : [group])));
    const left = shares.map((share, g) => (open.has(g) ? share : 0));
    return left.some((share) => share > 0) ? left : shares.map((_, g) => (open.has(g) ? 1 : 0));
  }

  next(isLeftOut?: (prompt: number) => boolean): DrawnPrompt {
    const { read, seed } = this.#options;
    const count = this.#drawn.reduce((a, b) => a + b, 0);
    const group = new Random(seed, "group of a prompt", count).weighted(this.#shares(isLeftOut));
    for (;;) {
      const before = this.#drawn[group]!++;
      const prompt = this.#first[group]! + this.#orders[group]!.at(before);
      // An epoch of its own group, so that a prompt that comes again is another one to the sampling of answers.
      if (!isLeftOut?.(prompt)) return { prompt, epoch: Math.floor(before / read.groups[group]!.lengths.length) };
    }
  }

  heard({ drawn, lines }: HeardRollout): Record<string, number> {
    const { groups, prompts } = this.#options.read;
    const each = lines.length / drawn.length;
    const sizes = groups.map((): number[] => []);
    for (const [i, { advantage }] of lines.entries())
      sizes[prompts[drawn[Math.floor(i / each)]!.prompt]!.group]!.push(sizeOf(advantage));
    const shares = this.#bandit.shares();
    this.#bandit.heard(sizes);
    const told = { share: shares, ...this.#bandit.told() };
    return Object.fromEntries(
      Object.entries(told).flatMap(([what, values]) => values.map((value, g) => [`${what}.${groups[g]!.name}`, value])),
    );
  }

  get #identity(): Record<string, string> {
    const { read, sampler, seed, shuffle, digest } = this.#options;
    return {
      groups: read.groups.map(({ name, lengths }) => `${name} (${lengths.length})`).join(", "),
      data: digest,
      seed: String(seed),
      shuffling: shuffle ? "on" : "off",
      curriculum: sampler.method.name,
    };
  }

  state(): OrderState & { readonly bandit: Json } {
    return { made_with: this.#identity, epoch: 0, batch: 0, drawn: [...this.#drawn], bandit: this.#bandit.state() };
  }

  load(state: unknown, what: string): void {
    const { made_with = {}, drawn, bandit = null } = (state ?? {}) as Partial<ReturnType<BanditPrompts["state"]>>;
    for (const [setting, now] of Object.entries(this.#identity))
      if (made_with[setting] !== now)
        throw new UserError(
          `${what} was saved with ${setting} ${made_with[setting] ?? "unknown"}, this run has ${now}`,
          "a run resumes on the data and with the settings it began with",
        );
    const isCount = (count: unknown) => Number.isSafeInteger(count) && (count as number) >= 0;
    if (!Array.isArray(drawn) || drawn.length !== this.#drawn.length || !drawn.every(isCount))
      throw new UserError(
        `${what} does not say which prompt comes next`,
        "it is damaged, or was written by another version",
      );
    this.#bandit.load(bandit);
    this.#drawn = [...drawn];
  }
}
