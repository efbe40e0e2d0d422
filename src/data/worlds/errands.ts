/**
 * Errands that a planner cannot run itself: a digit goes through the hands of several workers, each of whom makes
 * another digit of it by a rule that the planner need not know. The planner calls them one by one, "c 3", hears what
 * they say, "7", and ends with what it found: "= 7".
 */
import { isObject, type JsonObject } from "../../json.ts";
import { Random } from "../random.ts";

export interface Errand {
  readonly start: number;
  /** Workers in their order. */
  readonly steps: readonly string[];
  /** The digit that each worker makes of 0, 1, … 9. */
  readonly workers: Readonly<Record<string, string>>;
}

const DIGITS = 10;

/** Workers by name, whose rules are permutations of the digits. */
export function workersOf(seed: number, count: number): Errand["workers"] {
  const digits = Array.from({ length: DIGITS }, (_, i) => i);
  return Object.fromEntries(
    Array.from({ length: count }, (_, i) => {
      const name = String.fromCharCode("a".charCodeAt(0) + i);
      return [name, new Random(seed, "worker", name).shuffled(digits).join("")];
    }),
  );
}

/** What a worker says who is called with a digit. */
export const worked = ({ workers }: Pick<Errand, "workers">, name: string, digit: number): number =>
  Number(workers[name]![digit]);

export const answerOf = (errand: Errand): number =>
  errand.steps.reduce((digit, name) => worked(errand, name, digit), errand.start);

/** What the planner is asked. */
export const askedOf = ({ start, steps }: Pick<Errand, "start" | "steps">): string => `${start} ${steps.join(" ")}`;

/** What becomes of a message of the planner: what a worker says, or how the errand ends. */
export type Reply = { readonly says: string } | { readonly isRight: boolean };

/** A message that is no call is answered with "?". */
export function reply(errand: Errand, message: string): Reply {
  const said = message.trim();
  const end = /^= ?(\d)$/.exec(said);
  if (end) return { isRight: Number(end[1]) === answerOf(errand) };
  const call = /^([a-z]) (\d)$/.exec(said);
  if (!call || !Object.hasOwn(errand.workers, call[1]!)) return { says: "?" };
  return { says: String(worked(errand, call[1]!, Number(call[2]))) };
}

function isErrand(value: unknown): value is Errand {
  const { start, steps, workers } = isObject(value) ? value : {};
  if (!Number.isInteger(start) || Number(start) < 0 || Number(start) >= DIGITS) return false;
  if (!isObject(workers) || !Array.isArray(steps)) return false;
  const areRules = Object.values(workers).every((rule) => typeof rule === "string" && /^\d{10}$/.test(rule));
  return areRules && steps.every((name) => typeof name === "string" && Object.hasOwn(workers, name));
}

/** The errand of a row; undefined of a row without one. */
export const errandIn = ({ errand }: JsonObject): Errand | undefined => (isErrand(errand) ? errand : undefined);
