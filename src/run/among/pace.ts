/**
 * Who begins and whose answer arrives at every step of the server. Time is simulated: a client's local steps take it as
 * long as `times` says, whatever they take in truth.
 *
 *   rounds    the clients that are chosen begin with the same weights, and the server waits for all of them
 *   interval  the server acts every so many units of time, on what has arrived since; whoever arrived begins again
 *   each      the server acts on every arrival
 *   buffer    the server acts when so many have arrived; they begin again then
 */
import { permutation } from "../../data/shuffle.ts";
import { keyedUnits } from "../../keyed-random.ts";
import type { Numbers } from "./contract.ts";

export const CLOCKS = ["rounds", "interval", "each", "buffer"] as const;
export type Clock = (typeof CLOCKS)[number];

export interface PaceOptions {
  readonly clock: Clock;
  /** Of every client. */
  readonly times: readonly number[];
  /** Of `interval`. */
  readonly interval: number;
  /** Of `buffer`: clients that are waited for. */
  readonly buffer: number;
  /** Of `rounds`: the share of the clients that is chosen for a round; one client at least. */
  readonly share: number;
  readonly seed: number;
}

/** A step of the server: clients by their number. */
export interface ServerStep {
  readonly begin: readonly number[];
  readonly arrive: readonly number[];
  /** Simulated time at which it acts. */
  readonly time: number;
}

/** Clients of a round, in their order. */
export function chosenFor(round: number, clients: number, share: number, seed: number): number[] {
  const count = Math.max(1, Math.round(share * clients));
  if (count === clients) return Array.from({ length: clients }, (_, i) => i);
  return [...permutation(clients, seed, round, "clients of a round").subarray(0, count)].sort((a, b) => a - b);
}

/** Steps of the server, `count` of them. Throws RangeError for a time that is not above 0. */
export function serverSteps(options: PaceOptions, count: number): ServerStep[] {
  const { clock, times, interval, buffer, share, seed } = options;
  if (!times.every((time) => time > 0)) throw new RangeError(`times ${times.join(", ")}`);
  if (clock === "rounds") {
    let time = 0;
    return Array.from({ length: count }, (_, round) => {
      const begin = chosenFor(round, times.length, share, seed);
      time += Math.max(...begin.map((client) => times[client]!));
      return { begin, arrive: begin, time };
    });
  }
  const arriveAt = [...times];
  const steps: ServerStep[] = [];
  let begin = times.map((_, client) => client);
  for (let now = 0; steps.length < count; ) {
    const order = times.map((_, client) => client).sort((a, b) => arriveAt[a]! - arriveAt[b]! || a - b);
    const wanted = clock === "each" ? 1 : Math.min(buffer, order.length);
    now = clock === "interval" ? interval * (steps.length + 1) : arriveAt[order[wanted - 1]!]!;
    const soon =
      clock === "interval" ? order.filter((client) => arriveAt[client]! <= now * (1 + 1e-12)) : order.slice(0, wanted);
    const arrive = soon.sort((a, b) => a - b);
    steps.push({ begin, arrive, time: now });
    for (const client of arrive) arriveAt[client] = now + times[client]!;
    begin = arrive;
  }
  return steps;
}

/** Share of the steps in which each client arrives. */
export const participation = (steps: readonly ServerStep[], names: readonly string[]): Numbers =>
  Object.fromEntries(
    names.map((name, client) => [name, steps.filter(({ arrive }) => arrive.includes(client)).length / steps.length]),
  );

/** Local steps of a client in a round: `most`, or between `least` and `most`, drawn by seed, client and round. */
export function localSteps(
  most: number,
  least: number,
  { seed, name, round }: { seed: number; name: string; round: number },
): number {
  if (least >= most) return most;
  return least + Math.floor(keyedUnits(seed, `steps of ${name} in round ${round}`)() * (most - least + 1));
}

/** Which round it is, from 0, how many steps of the schedule are over, and how many come at most. */
export interface Round {
  readonly at: number;
  readonly over: number;
  readonly longest: number;
}

/** Whether something that comes every so many steps is due between two counts of them. */
export const isDue = (done: number, before: number, every: number): boolean =>
  every > 0 && Math.floor(done / every) > Math.floor(before / every);
