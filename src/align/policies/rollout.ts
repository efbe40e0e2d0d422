/**
 * One rollout: prompts are answered by the model as it is, verifiers judge the answers, and rewards become advantages.
 * Everything follows from (seed, prompts, weights), so that a rollout that was interrupted is drawn again as it was.
 */
import type { Sequence } from "../../data/sequences.ts";
import type { Json } from "../../json.ts";
import { answered } from "../../run/generating/answers.ts";
import type { Rollout, RolloutOptions } from "../../run/generating/rollouts.ts";
import type { Effort } from "../verifying/contract.ts";
import { scoreAll } from "../verifying/rewards.ts";
import { differs, finished, groupRelative, meanOf, overlongPenalty } from "./advantages.ts";
import { batchAt } from "./batches.ts";
import { pick } from "./choice.ts";
import type { Advantages, Choosable, SharedValues } from "./contract.ts";
import { warmthOf } from "./entropy-target.ts";
import type { DrawnPrompt, HeldAnswer, RolloutSpeed } from "./held-rollout.ts";
import { type LengthLimit, solvedPrompts } from "./length-stages.ts";
import { measuredOf } from "./measured.ts";
import { asksReference, type PolicyBatch } from "./objective.ts";
import { pairsOf } from "./pair-term.ts";
import type { PolicyPrompt } from "./prompts.ts";
import { headsOf } from "./reward-weights/constrained.ts";
import type { Plain, Products } from "./reward-weights/contract.ts";
import { linesOf } from "./rollout-lines.ts";
import type { MadeRollout, RolloutSetup, RolloutTurn } from "./rollout-setup.ts";
import { type Group, toldOf } from "./rollout-told.ts";

interface Credited {
  readonly answers: HeldAnswer[];
  readonly advantages: Advantages;
  readonly drift: number | undefined;
  readonly given: Choosable<never>;
  readonly keeps: Json | undefined;
}

/** Makes rollouts, one after the other. */
export class RolloutMaker {
  readonly #setup: RolloutSetup;
  /** As the present rollout has them. */
  #values: SharedValues;
  #limit: LengthLimit | undefined;
  #speed: RolloutSpeed = { tokens: 0, seconds: 0, judging: 0 };

  constructor(setup: RolloutSetup) {
    this.#setup = setup;
    this.#values = setup.chosen.values;
  }

  /** A prompt as the model reads it. */
  asked({ prompt, effort }: Pick<HeldAnswer, "prompt" | "effort">): PolicyPrompt {
    const own = this.#setup.prompts[prompt]!;
    return effort === undefined ? own : this.#setup.efforts!.asked(own, effort);
  }

  /** A prompt and an answer of it, of which the answer counts. */
  sequence({ ids, uncounted, ...answer }: Pick<HeldAnswer, "prompt" | "effort" | "ids" | "uncounted">): Sequence {
    const { ids: asked, group, place } = this.asked(answer);
    const none = { ids: new Int32Array(), labels: new Int32Array(), group, place };
    const sequence = answered(none, asked, ids);
    return uncounted ? { ...sequence, labels: new Int32Array(sequence.ids.length).fill(-100) } : sequence;
  }

  /**
   * The rollout of a number; `draw` gives the next prompt, `kl` weighs the divergence in rewards, `before` is the
   * rollout before it, `limit` that of its answers.
   */
  async make(
    number: number,
    draw: () => DrawnPrompt,
    { kl = this.#values.kl, before, temperature, limit }: RolloutTurn = {},
  ): Promise<MadeRollout> {
    const { size, efforts, chosen } = this.#setup;
    this.#limit = limit;
    this.#values = {
      ...this.#values,
      ...(temperature === undefined ? {} : { temperature }),
      ...(limit && { max_new_tokens: limit.tokens, mask_truncated: limit.masks }),
    };
    const { dynamic_sampling: dynamic, dynamic_rounds: most } = this.#values;
    await this.#setup.settled();
    this.#speed = { tokens: 0, seconds: 0, judging: 0 };
    const measured = chosen.method.measure && (before?.measured ?? (await this.#measured()));
    const all: Group[] = [];
    const kept: Group[] = [];
    const lengths: Record<string, number> = { ...before?.usual };
    const drawn = () => {
      const own = draw();
      return efforts ? { ...own, effort: efforts.draw(own) } : own;
    };
    for (let round = 0; round <= (dynamic ? most : 0) && kept.length < size; round++) {
      const groups = await this.#answer(Array.from({ length: size }, drawn), lengths, before?.kept);
      all.push(...groups);
      kept.push(...groups.filter(({ rewards }) => !dynamic || differs(rewards)).slice(0, size - kept.length));
    }
    const fillers = all.filter((group) => !kept.includes(group)).slice(0, size - kept.length);
    const { answers, advantages, drift, given, keeps = before?.kept } = await this.#credited(kept, kl, measured);
    const picked = pick(chosen, answers, given);
    const held = {
      number,
      epoch: all[0]!.drawn.epoch,
      answers: [...picked.kept, ...fillers.flatMap((group) => this.#fillers(group))],
      ...(efforts ? { usual: lengths } : {}),
      ...(measured ? { measured } : {}),
      ...(keeps === undefined ? {} : { kept: keeps }),
      told: {
        ...toldOf({ all, kept, terms: this.#setup.terms, held: answers, advantages, dynamic }),
        ...picked.told,
        ...this.#setup.weights?.told(),
        ...(drift === undefined ? {} : { drift }),
        ...warmthOf(this.#values, given.entropies),
      },
    };
    const isUsed = (place: number) => picked.used.has(place);
    const asked = (drawn: DrawnPrompt) => this.asked(drawn);
    const lines = linesOf({ number, all, kept, advantages, isUsed, terms: this.#setup.terms, asked });
    const parts = all.flatMap((group) => group.parts);
    const means = this.#setup.terms.map((_, k) => meanOf(parts.flatMap((row) => row[k] ?? [])));
    const solved = solvedPrompts(all, given.weights, this.#values);
    return { held, lines, drawn: all.map((group) => group.drawn), speed: this.#speed, means, solved };
  }

  /** Answers prompts and has the answers judged; `usual` lengths take those of the answers in. */
  async #answer(
    drawn: readonly DrawnPrompt[],
    usual: Record<string, number>,
    kept: Json | undefined,
  ): Promise<Group[]> {
    const { rollouts, ends, seed, signal, chosen, efforts, modes } = this.#setup;
    const { group, temperature, max_new_tokens: maxTokens, stop = [], rollout_rows: rows } = this.#values;
    const asked = drawn.map((one) => {
      const { ids, place } = this.asked(one);
      return { ids, key: `${one.epoch}.${one.prompt}`, name: place };
    });
    const how: RolloutOptions = {
      group,
      temperature,
      heat: chosen.method.heat?.(this.#values as never, kept),
      maxTokens,
      ends,
      stops: stop,
      seed,
      signal,
      ...(rows ? { rows } : {}),
      ...(modes && chosen.method.modes?.forced ? { openings: modes } : {}),
    };
    const began = performance.now();
    const answers = await rollouts.sample(asked, how);
    const greedy = chosen.method.greedy
      ? await rollouts.sample(asked, { ...how, group: 1, temperature: 0, heat: undefined })
      : undefined;
    const written = performance.now();
    const limits = drawn.map(({ prompt, effort: share }, i): Effort | undefined => {
      if (share === undefined) return undefined;
      const lengths = answers.slice(i * group, (i + 1) * group).map(({ ids }) => ids.length);
      usual[prompt] = efforts!.usual(usual[prompt], lengths);
      return efforts!.effort(share, usual[prompt]);
    });
    const scored = await this.#judged(drawn, answers, group, limits);
    const best = greedy && (await this.#judged(drawn, greedy, 1, limits)).rewards;
    const { tokens, seconds, judging } = this.#speed;
    this.#speed = {
      tokens: tokens + [...answers, ...(greedy ?? [])].reduce((sum, { ids }) => sum + ids.length, 0),
      seconds: seconds + (written - began) / 1000,
      judging: judging + (performance.now() - written) / 1000,
    };
    return drawn.map((one, i) => ({
      drawn: one,
      answers: answers.slice(i * group, (i + 1) * group),
      rewards: scored.rewards.slice(i * group, (i + 1) * group),
      parts: scored.parts.slice(i * group, (i + 1) * group),
      greedy: best?.[i],
      effort: limits[i],
    }));
  }

  /** What the method measures of the model as it is, before the first rollout. */
  async #measured(): Promise<Record<string, number>> {
    const { group } = this.#values;
    const began = performance.now();
    const found = await measuredOf(this.#setup, async (prompts, answers) => {
      const drawn = prompts.map((prompt) => ({ prompt, epoch: -1 }));
      return (await this.#judged(drawn, answers, group, [])).parts;
    });
    this.#speed = { tokens: 0, seconds: (performance.now() - began) / 1000, judging: 0 };
    return found;
  }

  /** Rewards of answers, `group` to each prompt, with the penalty of long ones. */
  async #judged(
    drawn: readonly DrawnPrompt[],
    answers: readonly Rollout[],
    group: number,
    limits: readonly (Effort | undefined)[],
  ) {
    const { terms, signal } = this.#setup;
    const { max_new_tokens: longest, overlong } = this.#values;
    const asked = answers.map(({ text: answer, ids, truncated }, i) => {
      const own = Math.floor(i / group);
      const { text: prompt, row, place } = this.asked(drawn[own]!);
      const effort = limits[own];
      return { prompt, answer, tokens: ids.length, truncated, row, place, ...(effort ? { effort } : {}) };
    });
    const { parts, rewards } = await scoreAll(terms, asked, signal);
    const lengths = answers.map(({ ids }) => ids.length);
    return {
      parts,
      rewards: Float64Array.from(rewards, (reward, i) => {
        const isCut = this.#limit?.masks === false && answers[i]!.truncated;
        return (isCut ? 0 : reward) - overlongPenalty(lengths[i]!, longest, overlong);
      }),
    };
  }

  /** The answers of groups, with advantages and the log-probabilities that the loss asks for. */
  async #credited(
    groups: readonly Group[],
    kl: number,
    measured: Readonly<Record<string, number>> | undefined,
  ): Promise<Credited> {
    const { policy, reference, chosen, terms, rows, pad } = this.#setup;
    const { group, mask_truncated: masks, kl_in: where } = this.#values;
    const plain = groups.flatMap(({ drawn: { prompt, effort }, answers }) => {
      return answers.map(({ ids }) => ({ prompt, ids, ...(effort === undefined ? {} : { effort }) }));
    });
    const sequences = plain.map((answer) => this.sequence(answer));
    const from = plain.map((answer) => this.asked(answer).ids.length);
    const how = { rows, pad, temperature: this.#values.temperature };
    const scores = await policy?.of(sequences, from, how);
    const old = scores?.map(({ logProbs }) => logProbs);
    const theirs = (await reference?.of(sequences, from, how))?.map(({ logProbs }) => logProbs);
    // k1 of every token.
    const apart = theirs && old?.map((own, i) => Float64Array.from(own, (p, t) => p - theirs[i]![t]!));
    const penalties = where === "reward" ? apart?.map((own) => own.map((d) => kl * d)) : undefined;
    const estimates = scores?.flatMap((own) => (own.estimates ? [Float64Array.from(own.estimates)] : []));
    const entropies = scores?.flatMap((own) => (own.entropies ? [Float64Array.from(own.entropies)] : []));
    const { modes } = this.#setup;
    // The first token was drawn from the modes.
    if (modes && chosen.method.modes?.forced) for (const own of old ?? []) own[0] = -Math.log(modes.length);
    const truncated = groups.flatMap(({ answers }) => answers.map((answer) => answer.truncated));
    const given: Choosable<never> = {
      rewards: Float64Array.from(groups.flatMap(({ rewards }) => [...rewards])),
      terms: groups.flatMap(({ parts }) => parts),
      weights: terms.map(({ weight }) => weight),
      group,
      measured: measured && groups.map(({ drawn: { prompt } }) => measured[prompt]!),
      modes: modes && plain.map(({ ids }) => modes.indexOf(ids[0]!)),
      lengths: plain.map(({ ids }) => ids.length),
      ids: plain.map(({ ids }) => ids),
      sampled: groups.flatMap((own) => own.answers.map(({ logProbs }) => logProbs)),
      reference: theirs,
      truncated,
      penalties,
      estimates: estimates?.length ? estimates : undefined,
      entropies: entropies?.length ? entropies : undefined,
      greedy: chosen.method.greedy ? Float64Array.from(groups, ({ greedy }) => greedy!) : undefined,
      values: chosen.values,
    };
    const asMethod: Plain = (own) => chosen.method.advantages?.(own) ?? [...groupRelative(own)];
    const products: Products = (all) => this.#setup.products!.of(all.map((own) => this.#batches(plain, own)));
    if (plain.length > 0) await this.#setup.weights?.weigh?.(given, asMethod, products);
    const weighed = this.#setup.weights?.weighed(given, asMethod);
    const raw = weighed?.advantages ?? asMethod(given);
    const advantages = weighed?.isWhite ? raw : finished(raw, given.values);
    const traits = plain.length > 0 ? chosen.method.traits?.(given) : undefined;
    const pairs = (given.values as SharedValues).pair_weight > 0 ? pairsOf(given) : [];
    const at = (own: number | Float64Array, t: number) => (typeof own === "number" ? own : own[t]!);
    const returnsOf = (i: number) =>
      weighed?.returns ? [...weighed.returns[i]!] : [...given.estimates![i]!].map((x, t) => x + at(raw[i]!, t));
    const answers = plain.map((answer, i): HeldAnswer => {
      const own = advantages[i]!;
      return {
        ...answer,
        advantage: typeof own === "number" ? own : [...own],
        ...(old ? { old: [...old[i]!] } : {}),
        ...(theirs && asksReference(chosen) ? { reference: [...theirs[i]!] } : {}),
        ...(given.estimates ? { estimates: [...given.estimates[i]!], returns: returnsOf(i) } : {}),
        ...(traits ? { traits: [...traits[i]!] } : {}),
        ...(masks && truncated[i] ? { uncounted: true } : {}),
        ...(pairs[i] ? { pair: pairs[i] } : {}),
      };
    });
    const drift = apart && meanOf(apart.map((own) => own.reduce((a, b) => a + b, 0)));
    return { answers, advantages, drift, given, keeps: plain.length > 0 ? chosen.method.keeps?.(given) : undefined };
  }

  /** Answers with advantages of their own, as micro-batches of one update. */
  #batches(answers: readonly Pick<HeldAnswer, "prompt" | "effort" | "ids">[], advantages: Advantages): PolicyBatch[] {
    const { rows, seed, pad } = this.#setup;
    const sizes = { rows, accumulate: Math.ceil(answers.length / rows), answers: answers.length };
    const held = {
      ...{ number: 0, epoch: 0, told: {} },
      answers: answers.map((answer, i): HeldAnswer => {
        const own = advantages[i]!;
        return { ...answer, advantage: typeof own === "number" ? own : [...own] };
      }),
    };
    return Array.from({ length: sizes.accumulate }, (_, at) =>
      batchAt(held, at, {
        ...{
          seed,
          pad,
          values: { ...this.#values, pair_weight: 0 },
          sizes: { ...sizes, passes: 1, prompts: 0, together: 1 },
        },
        sequence: (answer) => ({ sequence: this.sequence(answer), from: this.asked(answer).ids.length }),
      }),
    );
  }

  /** Answers that count nothing, where dynamic sampling found too few groups. */
  #fillers({ drawn: { prompt, effort }, answers }: Group): HeldAnswer[] {
    const zeros = (ids: readonly number[]) => ids.map(() => 0);
    const heads = headsOf(this.#setup.chosen.method, this.#values);
    const foretold = (ids: readonly number[]) => Array<number>(heads * ids.length).fill(0);
    const { choice } = this.#setup.chosen.method;
    const most = choice?.most(this.#values) ?? answers.length;
    return answers.slice(0, most).map(({ ids }) => ({
      ...{ prompt, ids, advantage: 0, uncounted: true, isFiller: true, ...(effort === undefined ? {} : { effort }) },
      ...(this.#setup.policy ? { old: zeros(ids) } : {}),
      ...(this.#setup.chosen.method.traits ? { traits: zeros(ids) } : {}),
      ...(this.#setup.chosen.method.value ? { estimates: foretold(ids), returns: foretold(ids) } : {}),
      ...(this.#setup.reference && asksReference(this.#setup.chosen) ? { reference: zeros(ids) } : {}),
    }));
  }
}
