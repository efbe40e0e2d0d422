/** Rewards: weighted sums of what verifiers say. */
import { UserError } from "../../errors.ts";
import type { Gpu } from "../../gpu/gpu.ts";
import { show } from "../../json.ts";
import { bind, bindDefaults } from "../../method/bind.ts";
import type { Values } from "../../method/options.ts";
import { loadMethod } from "../../method/registry.ts";
import { argumentValues } from "./arguments.ts";
import { type CommandLimits, USUAL_LIMITS } from "./command/limits.ts";
import type { Answered, Judging, Verifier, VerifierMethod } from "./contract.ts";
import type { REWARDS } from "./options.ts";
import { parseTerms, type Term } from "./terms.ts";

/** A verifier with its weight, under a name that no other term of the run has. */
export interface RewardTerm {
  readonly name: string;
  readonly weight: number;
  readonly verifier: Verifier;
}

export interface RewardSetup {
  /** Commands, each a term of weight 1. */
  readonly commands?: readonly string[] | undefined;
  readonly limits?: CommandLimits;
  /** Most tokens of an answer, where they are known. */
  readonly maxTokens?: number | undefined;
  /** The device for models that judge; without it none may. */
  readonly gpu?: () => Promise<Gpu>;
}

/** The terms of `--reward` and `--verify`. Throws UserError for what none can be made of, and where there are none. */
export function rewardTerms(
  options: Pick<Values<typeof REWARDS>, "reward" | "verify" | "verify_time" | "verify_batch" | "verify_keep">,
  known: Pick<RewardSetup, "maxTokens" | "gpu"> = {},
): Promise<RewardTerm[]> {
  const limits = { seconds: options.verify_time, batch: options.verify_batch, keep: options.verify_keep };
  return parseRewards(options.reward ?? [], { commands: options.verify, limits, ...known });
}

/** The same from texts. */
export async function parseRewards(specs: readonly string[], setup: RewardSetup = {}): Promise<RewardTerm[]> {
  const { commands = [] } = setup;
  const command = commands.length > 0 ? await loadMethod("verifier", "command") : undefined;
  const written: { origin: string; term: Term }[] = [];
  for (const spec of specs)
    for (const term of await parseTerms(spec)) written.push({ origin: `--reward ${show(spec)}:`, term });
  for (const argument of commands)
    written.push({ origin: "--verify:", term: { weight: 1, method: command!, argument } });
  if (written.length === 0)
    throw new UserError("nothing judges the answers", "--reward exact, or --verify 'python check.py'");
  const terms: RewardTerm[] = [];
  const used = new Map<string, number>();
  for (const { origin, term } of written) {
    const { name } = term.method;
    const count = (used.get(name) ?? 0) + 1;
    used.set(name, count);
    const verifier = await madeVerifier(term, origin, setup);
    terms.push({ name: count === 1 ? name : `${name}-${count}`, weight: term.weight, verifier });
  }
  return terms;
}

async function madeVerifier({ method, weight, argument }: Term, origin: string, setup: RewardSetup): Promise<Verifier> {
  if (weight < 0 && method.penalty !== undefined)
    throw new UserError(`${origin} ${method.name} has a weight below 0: ${method.penalty}`, "leave the minus out");
  return verifierOf(method, argument, origin, setup);
}

async function verifierOf(
  method: VerifierMethod,
  argument: string,
  origin: string,
  setup: RewardSetup,
): Promise<Verifier> {
  const about = `${origin} ${method.name}`;
  if (method.argument?.required && argument.trim() === "")
    throw new UserError(
      `${about} needs ${method.argument.value}: ${method.argument.help}`,
      `${method.name}:${method.argument.value}`,
    );
  const { values } = method.argument
    ? bindDefaults(method)
    : bind(method, await argumentValues(method, argument, origin));
  const judging: Judging = await method.make({
    values,
    text: method.argument ? argument : "",
    maxTokens: setup.maxTokens,
    limits: setup.limits ?? USUAL_LIMITS,
    gpu: setup.gpu ?? (() => Promise.reject(new RangeError("there is no device for a model that judges"))),
    judge: async (name) => verifierOf(await loadMethod("verifier", name, `${about}: by`), "", about, setup),
    refuse: (problem, hint) => {
      throw new UserError(`${about}: ${problem}`, hint);
    },
  });
  return { name: method.name, ...judging };
}

export interface Scores {
  /** For each answer the reward of each term; null where a term does not judge it. */
  readonly parts: readonly (readonly (number | null)[])[];
  /** For each answer the weighted sum of the terms that judge it. */
  readonly rewards: readonly number[];
}

/** Judges answers by all terms. Throws UserError, naming the row, for one that no term judges. */
export async function scoreAll(
  terms: readonly RewardTerm[],
  answers: readonly Answered[],
  signal: AbortSignal,
): Promise<Scores> {
  const columns: (readonly (number | null)[])[] = [];
  for (const { verifier } of terms) {
    signal.throwIfAborted();
    const column = await verifier.score(answers, signal);
    if (column.length !== answers.length || column.some((x) => x !== null && !Number.isFinite(x)))
      throw new RangeError(`the verifier ${verifier.name} gave no reward for some answer`);
    columns.push(column);
  }
  const parts = answers.map((_, i) => columns.map((column) => column[i]!));
  const rewards = parts.map((row, i) => {
    if (row.every((part) => part === null)) throw unjudged(terms, answers[i]!);
    return row.reduce<number>((sum, part, t) => sum + terms[t]!.weight * (part ?? 0), 0);
  });
  return { parts, rewards };
}

const unjudged = (terms: readonly RewardTerm[], { place }: Answered): UserError =>
  new UserError(
    `${place}: no verifier judges this row (${terms.map(({ name }) => name).join(", ")})`,
    "most need the right answer in the row, under answer or completion; arithmetic reads it from the prompt",
  );

/** Loads the models of the terms onto the device; gives the bytes that they take there. */
export async function readyRewards(terms: readonly RewardTerm[], gpu: Gpu): Promise<number> {
  const before = gpu.pool.allocated;
  for (const { verifier } of terms) await verifier.ready?.();
  return gpu.pool.allocated - before;
}

/** Ends what runs for the terms. */
export function freeRewards(terms: readonly RewardTerm[]): void {
  for (const { verifier } of terms) verifier.free?.();
}
