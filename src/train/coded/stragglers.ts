/** Time to finish a row of jobs with workers that are slow now and then, by simulation. */
import { keyedUnits } from "../../keyed-random.ts";
import { SCHEMES, type SchemeName, type SchemeSettings, schemeOf } from "./schemes.ts";

/** How workers are slow: a chain of two states for each (Gilbert and Elliott). */
export interface Slowness {
  /** Chance that a worker begins to be slow in a round, and that it goes on to be. */
  readonly begin: number;
  readonly stay: number;
  /** How many times as long a slow worker takes. */
  readonly times: number;
  /** What a round takes whatever is computed, over the time of the whole gradient of a job on one worker. */
  readonly overhead: number;
  /** Spread of times among workers that are not slow: the mean of an exponential part, over their time. */
  readonly spread: number;
}

/** Factor of the time of a worker in a round. */
export type Trace = (round: number, worker: number) => number;

/** Draws who is slow when. Every scheme meets the same, round by round. */
export function drawTrace(
  { begin, stay, times, spread }: Slowness,
  workers: number,
  seed: number,
  what: string,
): Trace {
  const units = Array.from({ length: workers }, (_, worker) => keyedUnits(seed, `${what} ${worker}`));
  const slow = Array<boolean>(workers).fill(false);
  const rounds: number[][] = [];
  return (round, worker) => {
    while (rounds.length < round)
      rounds.push(
        units.map((unit, i) => {
          slow[i] = unit() < (slow[i] ? stay : begin);
          return (slow[i] ? times : 1) * (1 - spread * Math.log(1 - unit()));
        }),
      );
    return rounds[round - 1]![worker]!;
  };
}

export interface Finished {
  readonly time: number;
  readonly rounds: number;
  /** Jobs whose gradient was known in time, exactly. */
  readonly done: number;
}

/** How much longer than the fastest a round waits for workers that it could do without. */
const PATIENCE = 2;

/** Runs a scheme to its end. */
export function simulate(
  name: SchemeName,
  settings: SchemeSettings,
  { jobs, trace, overhead }: { readonly jobs: number; readonly trace: Trace; readonly overhead: number },
): Finished & { readonly load: number; readonly delay: number } {
  const scheme = schemeOf(name, settings, jobs);
  const rounds = jobs + scheme.delay;
  let time = 0;
  let done = 0;
  for (let round = 1; round <= rounds; round++) {
    const shares = scheme.begin(round);
    const times = shares.map((share, worker) => (overhead + share) * trace(round, worker));
    const order = times.map((_, worker) => worker).sort((a, b) => times[a]! - times[b]!);
    const came = new Set<number>();
    let last = 0;
    const isPatient = scheme.delay > 0;
    for (const worker of order) {
      if (scheme.enough(came) && !(isPatient && times[worker]! <= PATIENCE * times[order[0]!]!)) break;
      came.add(worker);
      last = times[worker]!;
    }
    scheme.end(came);
    time += last;
    if (round > scheme.delay && scheme.isDone(round - scheme.delay)) done++;
  }
  return { time, rounds, done, load: scheme.load, delay: scheme.delay };
}

/** The settings with which a scheme is fastest on rounds that were recorded. */
export function chosenSettings(
  name: SchemeName,
  workers: number,
  recorded: { readonly jobs: number; readonly trace: Trace; readonly overhead: number },
): SchemeSettings {
  const whole = { workers, stragglers: 0, window: 2, burst: 1, distinct: 0 };
  const tried: SchemeSettings[] = [];
  if (name === "plain") return whole;
  if (name === "gc") for (let stragglers = 0; stragglers < workers; stragglers++) tried.push({ ...whole, stragglers });
  else
    for (let burst = 1; burst <= 3; burst++)
      for (let window = burst + 1; window <= burst + 3; window++)
        for (let distinct = 0; 2 * distinct <= workers; distinct++) tried.push({ ...whole, window, burst, distinct });
  const times = tried.map((settings) => simulate(name, settings, recorded).time);
  return tried[times.indexOf(Math.min(...times))]!;
}

/** All schemes on the same rounds, each with the settings that were best on others. */
export function compareSchemes(
  slowness: Slowness,
  { workers, jobs, seed }: { readonly workers: number; readonly jobs: number; readonly seed: number },
) {
  const { overhead } = slowness;
  const recorded = { jobs: Math.min(jobs, 40), trace: drawTrace(slowness, workers, seed, "recorded"), overhead };
  const trace = drawTrace(slowness, workers, seed, "run");
  return SCHEMES.map((scheme) => {
    const settings = chosenSettings(scheme, workers, recorded);
    return { scheme, settings, ...simulate(scheme, settings, { jobs, trace, overhead }) };
  });
}
